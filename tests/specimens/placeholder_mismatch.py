"""Newline and separator features were not counted; a healthy page is one whose size was chosen smaller."""

from preflight_ocr.harness.facts import Landing
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered, write_row

HEALTHY = altered(
    RUN,
    {
        "collator.batch.rows.0": write_row("biiippppttttttte", target="Жили-были дед и баба"),
        "forward.landing.0": Landing(row=0, placeholders=3, features=3, landed="0111000000000000"),
    },
)
SICK = altered(RUN, {"forward.landing.0.features": 9})
