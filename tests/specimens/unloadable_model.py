"""The user's loader raises."""

from preflight_ocr.harness.facts import Raised, Site, Unknown
from tests.specimens import HEALTHY, altered

RAISED = Raised(
    type="OSError",
    message="models/deepseek_ocr does not have a file named model.safetensors",
    site=Site(file="train.py", line=12, code="model = AutoModel.from_pretrained(path)", kind="", runs=None),
)

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "forward.loading": RAISED,
        "forward.reference": Unknown(reason="the model did not load"),
        "forward.behaviour": Unknown(reason="the model did not load"),
        "forward.landing": Unknown(reason="the model did not load"),
        "learning.training": RAISED,
    },
)
