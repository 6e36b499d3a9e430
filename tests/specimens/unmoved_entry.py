"""Pictures in a dataclass that Trainer does not look into; near it, the same entry with the tensors in a list."""

from preflight_ocr.harness.facts import Clash, Operand, Origin, Site, Unmoved
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

LINE = Site(
    file="modeling_deepseekocr.py", line=71, code="features = self.encode_view(images[0].pixels)", kind="", runs=None
)
CLASH = Clash(
    operation="convolution",
    stray=Operand(
        argument="input",
        shape=(1, 3, 64, 64),
        dtype="float32",
        device="cpu",
        origin=Origin(kind="entry", name="images[0].pixels", site=None, call=""),
    ),
    beside=Operand(
        argument="weight",
        shape=(32, 3, 4, 4),
        dtype="float32",
        device="cuda:0",
        origin=Origin(kind="parameter", name="model.sam_model.patch_embed.proj.weight", site=None, call=""),
    ),
    site=LINE,
    inside=None,
    times=1,
)

HEALTHY = altered(RUN, {"configuration.use_cpu": False})
SICK = altered(
    HEALTHY,
    {
        "forward.placement.unmoved": (
            Unmoved(path="images[0].pixels", holder="pages.Page", shape=(1, 3, 64, 64), dtype="float32", raised=None),
            Unmoved(path="images[1].pixels", holder="pages.Page", shape=(1, 3, 64, 64), dtype="float32", raised=None),
        ),
        "forward.placement.clashes": (CLASH,),
    },
)
