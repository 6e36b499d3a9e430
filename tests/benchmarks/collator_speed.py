"""What our collator costs beside the obvious preparation and beside transformers' own, in one process, taking turns.

    python -m tests.benchmarks.collator_speed --json docs/measured/collator-cpu.json

prints the table and writes the JSON that `docs/measured/collator-speed.md` is rendered from. The ways are: `plain`,
written below as a person would; `native`, the image processor that transformers ships for a comparable model; and our
whole collator, tokens included: `exact`, `fast` (`data.preprocessing.resampling`) and `kept` (exact, from the second
epoch on with `data.cache_dir`). Each must give the same pictures, or the run fails: bit by bit, but for `fast`, which
is held to two levels of 255, in at most one value of a hundred.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy
import torch
from PIL import Image, ImageOps
from torch.utils.data import DataLoader

from preflight_ocr.fixtures.corpus.models import MODELS
from preflight_ocr.fixtures.pages import compose_text, render_text
from preflight_ocr.harness import atomic
from preflight_ocr.harness.config.config import build_config
from preflight_ocr.harness.families import FAMILIES
from preflight_ocr.harness.families.deepseek_ocr import choose_tiling, read_geometry
from preflight_ocr.harness.families.patches import choose_size
from preflight_ocr.harness.training.collate import Collator, build_collator

COMMAND = "python -m tests.benchmarks.collator_speed --json docs/measured/collator-cpu.json"
BASE, TILE = 1024, 640
A4 = {200: (1654, 2339), 300: (2480, 3508)}
WAYS = ("plain", "native", "exact", "fast", "kept")
ROUNDS, EPOCHS, PAGES_IN_EPOCH = 7, 3, 8
CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

Way = Callable[[Path], list[torch.Tensor]]


class Page(NamedTuple):
    """A picture file. `shown` is how the table calls it."""

    name: str
    shown: str
    size: tuple[int, int]
    grey: bool = False


PAGES = (
    Page("a4-200.jpg", "A4, 200 dpi, colour, JPEG", A4[200]),
    Page("a4-300.jpg", "A4, 300 dpi, colour, JPEG", A4[300]),
    Page("a4-300.png", "A4, 300 dpi, colour, PNG", A4[300]),
    Page("a4-200-grey.jpg", "A4, 200 dpi, grey, JPEG", A4[200], grey=True),
    Page("a4-300-grey.jpg", "A4, 300 dpi, grey, JPEG", A4[300], grey=True),
    Page("strip.jpg", "1400 x 700, 2 tiles, colour, JPEG", (1400, 700)),
    Page("square.jpg", "2400 x 2400, 9 tiles, colour, JPEG", (2400, 2400)),
)


def write_page(page: Page, folder: Path) -> Path:
    """Rendered handwriting, a line for every 100 pixels or so."""
    width, height = page.size
    lines, rng = max(2, height // 100), random.Random(page.name)
    scripts = ("latin", "cyrillic")
    words = [compose_text(rng, script=scripts[i % 2], width=width, height=height // lines) for i in range(lines)]
    picture = render_text("\n".join(words), width=width, height=height, rng=rng)
    path = folder / page.name
    (picture.convert("L") if page.grey else picture).save(path, quality=90)
    return path


def to_tensor(image: Image.Image) -> torch.Tensor:
    """As torchvision's transform of this name."""
    return torch.from_numpy(numpy.array(image)).permute(2, 0, 1).contiguous().float().div(255)


def tile_plainly(path: Path) -> list[torch.Tensor]:
    """DeepSeek-OCR's page as anybody prepares it: one crop, one tensor, one normalisation for each tile."""
    mean, std = torch.full((3, 1, 1), 0.5), torch.full((3, 1, 1), 0.5)
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    views = []
    across, down = choose_tiling(*image.size, read_geometry(MODELS / "deepseek_ocr", _crops("exact")))
    if across * down > 1:
        resized = image.resize((TILE * across, TILE * down))
        tiles = []
        for number in range(across * down):
            left, top = number % across * TILE, number // across * TILE
            tiles.append((to_tensor(resized.crop((left, top, left + TILE, top + TILE))) - mean) / std)
        views.append(torch.stack(tiles))
    page = ImageOps.pad(image, (BASE, BASE), color=(127, 127, 127))
    return [*views, ((to_tensor(page) - mean) / std).unsqueeze(0)]


def patch_plainly(path: Path) -> list[torch.Tensor]:
    """dots.ocr's page as anybody prepares it: resized, a tensor, normalised, cut into patches in merged order."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in CLIP)
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    width, height = choose_size(*image.size, step=28, fewest=3136, most=11289600)
    picture = (to_tensor(image.resize((width, height), Image.Resampling.BICUBIC)) - mean) / std
    cut = picture.view(3, height // 28, 2, 14, width // 28, 2, 14).permute(1, 4, 2, 5, 0, 3, 6)
    return [cut.reshape(height // 14 * (width // 14), 3 * 14 * 14)]


class NativeTiles:
    """transformers' processor of DeepSeek-OCR-2, set to DeepSeek-OCR's sizes and mean."""

    def __init__(self) -> None:
        from transformers.models.deepseek_ocr2 import DeepseekOcr2ImageProcessorPil as Processor

        self.processor = Processor(image_mean=[0.5] * 3, image_std=[0.5] * 3, tile_size=TILE, max_patches=9)

    def __call__(self, path: Path) -> list[torch.Tensor]:
        made = self.processor(images=[Image.open(path)], max_patches=9, return_tensors="pt")
        return [made["pixel_values_local"], made["pixel_values"]]


class NativePatches:
    """transformers' processor of Qwen2-VL, which dots.ocr's own files name, with the numbers of those files."""

    def __init__(self) -> None:
        from transformers.models.qwen2_vl import Qwen2VLImageProcessorPil as Processor

        size = {"shortest_edge": 3136, "longest_edge": 11289600}
        self.processor = Processor(patch_size=14, temporal_patch_size=1, merge_size=2, size=size)

    def __call__(self, path: Path) -> list[torch.Tensor]:
        return [self.processor(images=[Image.open(path)], return_tensors="pt")["pixel_values"]]


class Ours:
    """Our collator on a row of one page; what it is asked for here are its pictures."""

    def __init__(self, collator: Collator) -> None:
        self.collator = collator

    def __call__(self, path: Path) -> list[torch.Tensor]:
        batch = self.collator([{"image_path": str(path), "text": "a page"}])
        return [*batch["images"][0]] if "images" in batch else [batch["pixel_values"]]


def open_ways(family: str, cache_dir: Path, *, native: bool = False) -> dict[str, Way]:
    """Every way of one preparation; with `native`, raises ImportError where transformers has no comparable processor."""
    from transformers import AutoTokenizer

    sizes = {"base_size": BASE, "image_size": TILE, "crop_mode": True} if family == "deepseek_ocr" else {}
    if family == "dots_ocr":
        sizes = {"min_pixels": 3136, "max_pixels": 11289600}
    directory = MODELS / family
    tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=True)  # a miniature of ours

    def ours(resampling: str, *, cached: bool = False) -> Ours:
        data = {"preprocessing": {**sizes, "resampling": resampling}, "cache_dir": str(cache_dir / family)}
        document = {"model": {"base_model": str(directory)}, "data": data}
        config = build_config(document, source=cache_dir / "project.yaml")
        made = build_collator(
            config, family=FAMILIES[family], tokenizer=tokenizer, image_dtype=torch.float32, cached=cached
        )
        return Ours(made)

    tiled = family == "deepseek_ocr"
    ways: dict[str, Way] = {"plain": tile_plainly if tiled else patch_plainly}
    if native:
        ways["native"] = NativeTiles() if tiled else NativePatches()
    return ways | {
        "exact": ours("exact"),
        "fast": ours("fast"),
        "kept": ours("exact", cached=True),
    }


def compare(made: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> tuple[float, float]:
    """(the largest difference in levels of 255, the share of values that differ by more than a rounding of float32)."""
    shapes = [[tuple(one.shape) for one in some] for some in (made, expected)]
    assert shapes[0] == shapes[1], f"shapes {shapes[0]}, expected {shapes[1]}"
    patches = made[0].dim() == 2
    std = torch.tensor(CLIP[1] if patches else (0.5,) * 3).view(3, 1)
    levels = [((a - b).abs().view(len(a), 3, -1) * std * 255).flatten() for a, b in zip(made, expected, strict=True)]
    off = torch.cat(levels)
    return float(off.max()), float((off > 0.01).float().mean())


def assert_equal(way: str, made: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> tuple[float, float]:
    """Raises AssertionError for a way whose pictures are not the plain ones, within what the module says of it."""
    most, share = compare(made, expected)
    if way == "fast":
        assert most < 2.01 and share < 0.01, f"fast is off by {most:.2f} levels, in {share:.2%} of the values"
    elif way == "native":  # the same numbers, multiplied where we divide
        assert most < 0.001, f"native is off by {most:.5f} levels"
    else:
        assert all(map(torch.equal, made, expected)), f"{way} is off by {most:.5f} levels, in {share:.2%} of the values"
    return most, share


def take_turns(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of every call, each round in another order, so that what else the machine does slows all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    names, order = list(calls), random.Random(0)
    for _ in range(rounds):
        for name in order.sample(names, len(names)):
            begin = time.perf_counter()
            calls[name]()
            seconds[name].append(time.perf_counter() - begin)
    return seconds


def measure_page(ways: Mapping[str, Way], path: Path, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """One line for each way: equal output asserted first, then the median of `rounds` in this process."""
    expected = ways["plain"](path)
    off = {name: assert_equal(name, way(path), expected) for name, way in ways.items()}
    del expected
    seconds = take_turns({name: lambda way=way: way(path) for name, way in ways.items()}, rounds)
    return [_tell(name, seconds, pages=1, off=off[name]) for name in ways]


def measure_workers(ways: Mapping[str, Way], path: Path, epochs: int = EPOCHS) -> list[dict[str, Any]]:
    """The same through a DataLoader with two workers, which stay; an epoch is eight pages of this kind."""
    loaders = {
        name: DataLoader(
            [path] * PAGES_IN_EPOCH,  # type: ignore[arg-type]
            batch_size=1,
            num_workers=2,
            collate_fn=_First(way),
            persistent_workers=True,
        )
        for name, way in ways.items()
    }
    calls = {name: lambda loader=loader: [None for _ in loader] for name, loader in loaders.items()}
    take_turns(calls, 1)
    seconds = take_turns(calls, epochs)
    return [_tell(name, seconds, pages=PAGES_IN_EPOCH, off=None) for name in ways]


class _First:
    """A batch of one path is that path's pictures."""

    def __init__(self, way: Way) -> None:
        self.way = way

    def __call__(self, paths: Sequence[Path]) -> list[torch.Tensor]:
        torch.set_num_threads(1)
        return self.way(paths[0])


def _tell(
    way: str, seconds: Mapping[str, Sequence[float]], *, pages: int, off: tuple[float, float] | None
) -> dict[str, Any]:
    """Ratios are medians of the ratios of neighbours in time, which a drift of the machine leaves as they are."""

    def compare_with(other: str) -> float:
        return round(median(theirs / ours for theirs, ours in zip(seconds[other], seconds[way], strict=True)), 2)

    line: dict[str, Any] = {"way": way, "images_per_second": round(pages / median(seconds[way]), 2)}
    line |= {f"times_{other}": compare_with(other) for other in ("plain", "native") if other in seconds}
    if off is not None:
        line |= {"largest_difference_in_levels": round(off[0], 3), "share_of_values_that_differ": round(off[1], 6)}
    return line


def measure(rounds: int = ROUNDS, epochs: int = EPOCHS) -> dict[str, Any]:
    """Everything, in this process."""
    torch.set_num_threads(1)
    lines: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = {page: write_page(page, folder) for page in PAGES}
        for family in ("deepseek_ocr", "dots_ocr"):
            ways = open_ways(family, folder / "kept", native=True)
            for page in PAGES if family == "deepseek_ocr" else PAGES[:4]:
                kinds = {"one process": measure_page(ways, paths[page], rounds)}
                if page.name == "a4-300.jpg":
                    kinds["two workers"] = measure_workers(ways, paths[page], epochs)
                for kind, told in kinds.items():
                    common = {"family": FAMILIES[family].shown, "page": page.shown, "in": kind}
                    lines += [common | line for line in told]
                    for line in told:
                        sys.stdout.write(show(common | line) + "\n")
                        sys.stdout.flush()
    packages = ("torch", "transformers", "pillow", "numpy", "safetensors")
    return {
        "command": COMMAND,
        "native": "DeepseekOcr2ImageProcessorPil and Qwen2VLImageProcessorPil; without torchvision no other backend runs",
        "rounds": rounds,
        "epochs": epochs,
        "threads": 1,
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, torch with {torch.backends.cpu.get_cpu_capability()}",
        "versions": {"python": platform.python_version()} | {package: version(package) for package in packages},
        "lines": lines,
    }


def show(line: Mapping[str, Any]) -> str:
    """One line of the printed table."""
    kind = f"{line['family']:12} {line['page']:36} {line['in']:12} {line['way']:7}"
    ratios = f"{line['times_plain']:5.2f} x plain  {line['times_native']:5.2f} x native"
    return f"{kind} {line['images_per_second']:7.2f} images/s  {ratios}"


def main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    given = parser.parse_args(words)
    found = measure(given.rounds, given.epochs)
    if given.json:
        atomic.write_text(given.json, json.dumps(found, indent=1) + "\n")


def _crops(resampling: str) -> Any:
    from preflight_ocr.harness.config.schema import Preprocessing

    return Preprocessing(base_size=BASE, image_size=TILE, crop_mode=True, resampling=resampling)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(sys.argv[1:])
