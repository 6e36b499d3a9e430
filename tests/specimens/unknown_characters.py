"""Two characters that the tokenizer has no token for; a healthy one writes every text."""

from preflight_ocr.harness.facts import Unwritable
from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {"collator.unwritable": Unwritable(characters=("€", "№"), rows=5, looked_at=64, unknown_token="<unk>")},
)
