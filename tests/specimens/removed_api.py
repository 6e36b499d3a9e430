"""batch_encode_plus on transformers 5."""

from preflight_ocr.harness.facts import ApiUse, Site
from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "subject.absent_names": (
            ApiUse(
                name="batch_encode_plus",
                site=Site(file="collate.py", line=8, code="tokenizer.batch_encode_plus(texts)", kind="", runs=None),
                replacement="calling the tokenizer",
            ),
        )
    },
)
