"""Target tokens that look like padding are hidden; a healthy mask is on at padding behind the text."""

import msgspec

from tests.specimens import HEALTHY as RUN
from tests.specimens import altered, write_row

RIGHT_PADDED = msgspec.structs.replace(
    write_row("biiiiiiippppttttte..", target="Жили-были дед и баба"), attended="1" * 20
)

HEALTHY = altered(RUN, {"collator.batch.rows.0": RIGHT_PADDED})
SICK = altered(RUN, {"collator.batch.rows.0.attended": "11111111111111011011"})
