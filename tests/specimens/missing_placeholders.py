"""No image placeholder in any prompt; a healthy batch may have a row without an image."""

from preflight_ocr.harness.facts import Landing
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens import write_row as bare

HEALTHY = altered(
    RUN,
    {f"collator.{batch}.rows.1": bare("...........bppppttte", target="seven") for batch in ("batch", "reference")}
    | {
        "forward.landing.1": Landing(row=1, placeholders=0, features=0, landed="0" * 20),
        "forward.behaviour.image_reaches": (True, None),
    },
)
SICK = altered(
    RUN,
    {
        "collator.batch.rows.0": bare("bppppttttttte", target="Жили-были дед и баба"),
        "collator.batch.rows.1": bare("....bppppttte", target="seven"),
        "forward.landing": tuple(Landing(row=row, placeholders=0, features=7, landed="0" * 13) for row in (0, 1)),
        "forward.behaviour.image_reaches": (False, False),
    },
)
