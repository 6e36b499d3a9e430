from __future__ import annotations

from preflight_ocr.harness.facts import Unknown
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = RUN
SICK = altered(
    RUN,
    {
        "tokenizer": Unknown(
            reason="tokenizer.json:3: byte 71 is not UTF-8; save the file as UTF-8", cause="unreadable file"
        )
    },
)
