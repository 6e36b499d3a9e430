"""Remote code without trust; near it, a model without remote code, which needs none."""

from preflight_ocr.harness.facts import Unknown
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(
    RUN,
    {
        "configuration.trust_remote_code": False,
        "repository.has_remote_code": False,
        "repository.auto_map": {},
        "repository.imports": (),
    },
)
NOT_TRUSTED = Unknown(reason="the model's own code is not trusted")
SICK = altered(
    RUN,
    {
        "configuration.trust_remote_code": False,
        **dict.fromkeys(("processor", "collator", "forward", "adapter", "learning", "memory"), NOT_TRUSTED),
    },
)
