"""labels = input_ids.clone(); a healthy batch of pure text has no prompt to mask, and trains on all of it."""

from preflight_ocr.harness.facts import Landing
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered, write_row

TEXT = write_row("bttttttte", target="Жили-были дед и баба", prompt="")

HEALTHY = altered(
    RUN,
    {f"collator.{batch}.rows": (TEXT, TEXT) for batch in ("batch", "reference")}
    | {
        "forward.landing": tuple(Landing(row=row, placeholders=0, features=0, landed="0" * 9) for row in (0, 1)),
        "forward.behaviour.image_reaches": (None, None),
        "collator.expected_prompt": "",
    },
)
SICK = altered(RUN, {f"collator.batch.rows.{row}.trained": "1" * 20 for row in (0, 1)})
