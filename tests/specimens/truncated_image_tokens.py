"""max_seq_length cuts into both pages; a healthy page has fewer placeholders because its size was chosen smaller."""

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
SICK = altered(
    RUN,
    {
        "configuration.max_seq_length": 5,
        "collator.batch.rows.0": write_row("biiii", target="Жили-были дед и баба"),
        "collator.batch.rows.1": write_row("biiii", target="seven"),
        "forward.landing": tuple(Landing(row=row, placeholders=4, features=7, landed="01111") for row in (0, 1)),
    },
)
