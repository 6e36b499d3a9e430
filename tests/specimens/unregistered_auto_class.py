"""AutoModelForVision2Seq for a model that registers AutoModel; near it, AutoModel and an unregistered AutoTokenizer."""

from preflight_ocr.harness.facts import ApiUse, Site
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered


def _use(name: str) -> ApiUse:
    return ApiUse(
        name=name,
        site=Site(file="load.py", line=5, code=f"model = {name}.from_pretrained(path)", kind="", runs=None),
        replacement=None,
    )


HEALTHY = altered(RUN, {"subject.auto_classes": (_use("AutoModel"), _use("AutoTokenizer"))})
SICK = altered(RUN, {"subject.auto_classes": (_use("AutoModelForVision2Seq"),)})
