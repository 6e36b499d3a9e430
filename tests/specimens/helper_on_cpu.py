"""Positions made on the CPU inside forward; near it, the same run with them made where the weights are."""

from preflight_ocr.harness.facts import Clash, Operand, Origin, Site
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

MADE = Origin(
    kind="made",
    site=Site(
        file="modeling_deepseekocr.py",
        line=61,
        code="places = torch.arange(hidden_states.shape[1])",
        kind="",
        runs=None,
    ),
    call="arange",
    name="",
)
CLASH = Clash(
    operation="embedding",
    stray=Operand(argument="indices", shape=(24,), dtype="int64", device="cpu", origin=MADE),
    beside=Operand(
        argument="weight",
        shape=(512, 64),
        dtype="float32",
        device="cuda:0",
        origin=Origin(kind="parameter", name="model.places.weight", site=None, call=""),
    ),
    site=Site(
        file="modeling_deepseekocr.py",
        line=62,
        code="hidden_states = hidden_states + self.places(places)",
        kind="",
        runs=None,
    ),
    inside=None,
    times=1,
)

HEALTHY = altered(RUN, {"configuration.use_cpu": False})
SICK = altered(HEALTHY, {"forward.placement.clashes": (CLASH,)})
