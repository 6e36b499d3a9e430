"""Pad = end of text, masked by id; near it, the same tokenizer with masking by attention."""

from preflight_ocr.harness.facts import Token
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(RUN, {"tokenizer.pad": Token(content="<|end|>", id=1)})
SICK = altered(
    HEALTHY,
    {
        "collator.batch.rows.0.trained": "0" * 12 + "1" * 7 + "0",
        "collator.batch.rows.1.trained": "0" * 16 + "1" * 3 + "0",
        "collator.batch.rows.0.supervised_text": "Жили-были дед и баба",
        "collator.batch.rows.1.supervised_text": "seven",
    },
)
