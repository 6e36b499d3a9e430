"""easydict imported unconditionally; near it, flash_attn missing behind a condition (as in every healthy run here)."""

from preflight_ocr.harness.facts import Import
from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "repository.imports": tuple(
            Import(
                module=module,
                name=None,
                file="deepencoder.py",
                line=line,
                conditional=False,
                status="missing package",
                detail="",
            )
            for line, module in enumerate(("easydict", "cv2", "easydict"), start=7)
        )
    },
)
