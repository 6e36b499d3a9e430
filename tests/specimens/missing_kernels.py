"""A card of capability 12.0 and a torch built up to 9.0; near it, a card that runs its generation's older kernels."""

from preflight_ocr.harness.facts import Device
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

ARCHITECTURES = ("sm_80", "sm_86", "sm_90")

HEALTHY = altered(RUN, {"device": Device(name="RTX 4090", capability="8.9", arch_list=ARCHITECTURES, refused=None)})
SICK = altered(RUN, {"device": Device(name="RTX 5090", capability="12.0", arch_list=ARCHITECTURES, refused=None)})
