"""The user's trainer merges what it has trained into 4-bit weights."""

from preflight_ocr.harness.facts import Site
from tests.specimens import altered
from tests.specimens.quantised_head import HEALTHY

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {"adapter.merges": (Site(file="train.py", line=31, code="model.merge_and_unload()", kind="merge", runs=None),)},
)
