"""Trained on another prompt; a healthy run trains on several, of which one is prediction's."""

from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(RUN, {"collator.batch.rows.0.prompt_text": "Convert the page to text."})
SICK = altered(RUN, {f"collator.batch.rows.{row}.prompt_text": "OCR:" for row in (0, 1)})
