"""Height and width of a page exchanged; near it, pages that the user made smaller than we would."""

from preflight_ocr.harness.facts import Grid
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

OURS = ((1, 6, 10), (1, 8, 4))
GRIDDED = altered(RUN, {"collator.roles.image_grid_thw": "grid"})


def grid(*seen: tuple[int, ...], patches: int = 92, same_patches: bool = True) -> Grid:
    return Grid(
        argument="image_grid_thw", seen=seen, expected=OURS, patches=patches, merge=2, same_patches=same_patches
    )


HEALTHY = altered(GRIDDED, {"collator.grid": grid((1, 4, 6), (1, 4, 2), patches=32, same_patches=False)})
SICK = altered(GRIDDED, {"collator.grid": grid((1, 10, 6), (1, 8, 4))})
