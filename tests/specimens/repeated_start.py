"""Labels that begin with the decoder's start token; healthy ones begin with the text."""

from tests.specimens import HEALTHY as DECODER
from tests.specimens import altered

HEALTHY = altered(DECODER, {"forward.agreement.starts": (0, 0)})
SICK = altered(HEALTHY, {"forward.agreement.started_again": (0, 1, 2)})
