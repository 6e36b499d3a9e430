"""New tokens with rows around the mean that nothing trains; healthy rows differ."""

from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {"learning.alike_rows.ids": (500, 501), "learning.alike_rows.tokens": ("<td>", "</td>")},
)
