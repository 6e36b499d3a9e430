"""Three rows in one sequence that see each other; healthy ones have a sequence each."""

from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "forward.agreement.first": (1e-6, 0.4, 0.5),
        "forward.agreement.along": (1e-6, 0.3, 0.6),
        "forward.agreement.packed": True,
    },
)
