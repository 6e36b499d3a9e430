"""An added <image> token without a row in the embeddings; near it, the last row is used."""

from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(RUN, {"forward.highest_token_id": 511})
SICK = altered(RUN, {"forward.highest_token_id": 512, "tokenizer.image.id": 512})
