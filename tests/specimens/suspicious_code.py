"""A modeling file that starts a shell."""

from preflight_ocr.harness.facts import Site
from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "repository.suspicious": (
            Site(file="modeling.py", line=9, code="os.system(command)", kind="runs a command", runs=None),
        )
    },
)
