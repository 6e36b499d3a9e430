from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import time
from pathlib import Path

import msgspec
import numpy
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from transformers import AutoTokenizer

from preflight_ocr.harness.config.schema import Augmentation
from preflight_ocr.harness.families import FAMILIES
from preflight_ocr.harness.training import cache as cache_module
from preflight_ocr.harness.training import collate
from preflight_ocr.harness.training.cache import CacheError, PixelCache, hash_recipe
from preflight_ocr.harness.training.collate import CollateError, build_collator
from preflight_ocr.harness.training.images import ImageError
from tests.harness.training.conftest import MODEL

FAMILY = FAMILIES["deepseek_ocr"]
SIZES = {"base_size": 128, "image_size": 64, "crop_mode": True}
KEPT = "*.pixels.safetensors"
START = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
"""Both work, and a fork costs seconds less; that a collator pickles is tested beside it."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    side: int = 1


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(MODEL, trust_remote_code=True)


@pytest.fixture
def build(configure, tokenizer, tmp_path):
    def build(*, cached=True, dtype=torch.float32, directory=tmp_path / "kept", cache_gb=1.0, **preprocessing):
        data = {"preprocessing": SIZES | preprocessing, "cache_dir": str(directory), "cache_gb": cache_gb}
        config = configure(data=data)
        return build_collator(config, family=FAMILY, tokenizer=tokenizer, image_dtype=dtype, cached=cached)

    return build


@pytest.fixture
def kept(tmp_path):
    return lambda: sorted(path.name for path in (tmp_path / "kept").glob(KEPT))


@pytest.fixture
def paint(tmp_path):
    def paint(name="page.png", *, seed=0, size=(190, 120), grey=False):
        shape = (size[1], size[0]) if grey else (size[1], size[0], 3)
        pixels = numpy.random.default_rng(seed).integers(0, 256, shape).astype(numpy.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
        return {"image_path": str(tmp_path / name), "text": "a page"}

    return paint


@pytest.fixture
def no_decoding(monkeypatch):
    """From here on a page that is opened is an error."""

    def forbid():
        def refuse(path, **given):
            raise AssertionError(f"{path} was decoded again")

        monkeypatch.setattr(collate, "open_image", refuse)

    return forbid


def assert_same(batch, expected):
    assert list(batch) == list(expected)
    for name in set(batch) - {"images"}:
        assert batch[name].dtype == expected[name].dtype and torch.equal(batch[name], expected[name])
    for pair, other in zip(batch["images"], expected["images"], strict=True):
        assert all(one.dtype == two.dtype and torch.equal(one, two) for one, two in zip(pair, other, strict=True))


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_page_that_was_kept_is_not_decoded_and_gives_the_same_batch(build, paint, kept, no_decoding, grey, dtype):
    row = paint(grey=grey)
    expected = build(cached=False, dtype=dtype)([row])
    assert kept() == []
    assert_same(build(dtype=dtype)([row]), expected)
    assert len(kept()) == 1
    no_decoding()
    again = build(dtype=dtype)
    assert_same(again([row]), expected)
    assert_same(again([row]), expected)


def test_the_same_page_under_another_name_is_found(build, paint, kept, no_decoding):
    build()([paint("one.png")])
    no_decoding()
    build()([paint("two.png")])
    assert len(kept()) == 1


def test_a_page_that_changes_under_its_name_size_and_time_is_prepared_anew(build, paint, kept):
    row = paint(seed=1)
    path, collator = Path(row["image_path"]), build()
    status = path.stat()
    collator([row])
    content = bytearray(path.read_bytes())
    row = paint(seed=2)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.read_bytes() != bytes(content) and path.stat().st_mtime_ns == status.st_mtime_ns
    assert_same(collator([row]), build(cached=False)([row]))
    assert len(kept()) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"base_size": 192},
        {"image_size": 128},
        {"crop_mode": False},
        {"resampling": "fast"},
        {"image_mean": [0.1, 0.2, 0.3]},
        {"image_std": [0.1, 0.2, 0.3]},
        {"normalize": False},
    ],
)
def test_every_parameter_of_the_preparation_has_pages_of_its_own(build, paint, kept, change):
    row = paint()
    build()([row])
    assert_same(build(**change)([row]), build(cached=False, **change)([row]))
    assert len(kept()) == 2


def test_every_number_of_a_family_counts_and_so_do_code_libraries_and_kind(monkeypatch):
    class Other(Recipe, frozen=True, kw_only=True):
        pass

    seen = {hash_recipe(recipe) for recipe in (Recipe(), Recipe(side=2), Other())}
    monkeypatch.setattr(cache_module, "_hash_code", lambda: b"another code")
    seen.add(hash_recipe(Recipe()))
    monkeypatch.setattr(cache_module.PIL, "__version__", "99.0")
    seen.add(hash_recipe(Recipe()))
    monkeypatch.setattr(cache_module.torch, "__version__", "99.0")
    seen.add(hash_recipe(Recipe()))
    assert len(seen) == 6


def test_the_code_that_counts_is_every_module_that_touches_pixels(tmp_path, monkeypatch):
    families = tmp_path / "families"
    families.mkdir()
    for path in (tmp_path / "images.py", families / "__init__.py", families / "pixels.py"):
        path.write_text("a = 1\n", encoding="utf-8")
    monkeypatch.setattr(cache_module.images, "__file__", str(tmp_path / "images.py"))
    monkeypatch.setattr(cache_module.families, "__file__", str(families / "__init__.py"))
    seen = {cache_module._hash_code.__wrapped__()}
    for path in (tmp_path / "images.py", families / "pixels.py"):
        path.write_text("a = 2\n", encoding="utf-8")
        seen.add(cache_module._hash_code.__wrapped__())
    assert len(seen) == 3


@pytest.mark.parametrize("damage", [b"", b"\x08\0\0\0\0\0\0\0{}", None])
def test_a_kept_page_that_was_cut_or_damaged_is_made_anew(build, paint, tmp_path, kept, damage):
    row, collator = paint(), build()
    expected = collator([row])
    path = tmp_path / "kept" / kept()[0]
    path.write_bytes(path.read_bytes()[:-10] if damage is None else damage)
    assert_same(collator([row]), expected)
    assert path.stat().st_size > 1000
    assert_same(build()([row]), expected)


def test_augmented_rows_are_neither_kept_nor_served(build, paint, kept, configure, tokenizer, tmp_path):
    row = paint()
    data = {"preprocessing": SIZES, "cache_dir": str(tmp_path / "kept")}
    data["augmentation"] = {"enabled": True, "rotation_range": 5, "brightness_range": [0.5, 0.6]}
    config = configure(data=data)
    assert config.data.augmentation != Augmentation()
    collator = build_collator(config, family=FAMILY, tokenizer=tokenizer, image_dtype=torch.float32, cached=True)
    turned = collator([{**row, "augmentation_seed": 4}])
    assert kept() == []
    upright = collator([row])
    assert len(kept()) == 1
    assert not torch.equal(upright["images"][0][1], turned["images"][0][1])
    assert_same(collator([{**row, "augmentation_seed": 4}]), turned)


def test_rows_without_an_image_and_bad_files_leave_nothing_behind(build, tmp_path, kept):
    collator = build()
    collator([{"text": "no page"}])
    (tmp_path / "bad.png").write_text("no image", encoding="utf-8")
    for name in ("bad.png", "none.png"):
        with pytest.raises(ImageError, match=name):
            collator([{"image_path": str(tmp_path / name), "text": "x"}])
    assert kept() == []


def test_what_looks_at_a_project_neither_reads_nor_writes_the_cache(build, paint, kept):
    build(cached=False)([paint()])
    assert kept() == []


def test_a_family_whose_processor_prepares_pages_is_refused(configure, tmp_path):
    pytest.importorskip("transformers.models.qwen2_vl")
    from tests.harness.families.test_processed import Processor, Words

    config = configure(
        data={"cache_dir": str(tmp_path / "kept"), "preprocessing": {"base_size": None, "crop_mode": None}}
    )
    words = Words()
    words.padding_side, words.all_special_tokens, words.added_tokens_decoder = "right", [], {}
    with pytest.raises(CollateError, match=r"`data.cache_dir` has no place in GOT-OCR2"):
        build_collator(
            config,
            family=FAMILIES["got_ocr2"],
            tokenizer=words,
            processor=Processor(words),
            image_dtype=torch.float32,
            cached=True,
        )


def test_a_collator_with_a_cache_is_picklable(build, paint, no_decoding):
    row, collator = paint(), build()
    expected = collator([row])
    no_decoding()
    assert_same(pickle.loads(pickle.dumps(collator))([row]), expected)


def fill(cache, number, size=1000):
    content = bytes([number])
    cache.save(content, {"page": torch.full((size,), number, dtype=torch.uint8)})
    return content


def age(directory, seconds=1000):
    for path in directory.glob(KEPT):
        os.utime(path, (time.time() - seconds,) * 2)


def test_the_directory_is_held_to_its_limit_and_the_longest_unused_goes_first(tmp_path):
    old = PixelCache(tmp_path, limit=5000, recipe=Recipe())
    contents = [fill(old, number) for number in range(3)]
    for seconds, content in zip((300, 200, 100), contents, strict=True):
        os.utime(old._place(content), (time.time() - seconds,) * 2)
    (tmp_path / "mine.safetensors").write_bytes(b"x" * 90000)
    new = PixelCache(tmp_path, limit=5000, recipe=Recipe())
    assert new.load(contents[0]) is not None  # used now, so no longer the oldest
    new.begun -= 1
    for number in range(10, 13):
        fill(new, number)
    assert sum(path.stat().st_size for path in tmp_path.glob(KEPT)) <= 5000
    assert [new.load(content) is not None for content in contents] == [True, False, False]
    assert (tmp_path / "mine.safetensors").stat().st_size == 90000


def test_what_this_run_has_used_is_not_pushed_out_by_its_other_pages(tmp_path, caplog):
    cache = PixelCache(tmp_path, limit=3500, recipe=Recipe())
    cache.begun -= 1
    with caplog.at_level(logging.WARNING, "preflight_ocr.harness.training"):
        contents = [fill(cache, number) for number in range(9)]
    assert [cache.load(content) is not None for content in contents] == [True] * 3 + [False] * 6
    assert len(caplog.records) == 1 and "data.cache_gb" in caplog.text
    next_run = PixelCache(tmp_path, limit=3500, recipe=Recipe())
    age(tmp_path)
    fill(next_run, 9)
    assert next_run.load(bytes([9])) is not None


def test_a_page_larger_than_the_limit_is_not_kept_and_removes_nothing_in_use(tmp_path):
    cache = PixelCache(tmp_path, limit=3500, recipe=Recipe())
    cache.begun -= 1
    first = fill(cache, 1)
    assert cache.load(fill(cache, 2, size=9000)) is None
    assert cache.load(first) is not None


def test_a_directory_that_cannot_be_made_is_refused_and_one_that_cannot_be_written_is_said_once(tmp_path, caplog):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(CacheError, match=r"data\.cache_dir .*file"):
        PixelCache(tmp_path / "file", limit=1000, recipe=Recipe())
    cache = PixelCache(tmp_path / "gone", limit=100000, recipe=Recipe())
    (tmp_path / "gone").rmdir()
    with caplog.at_level(logging.WARNING, "preflight_ocr.harness.training"):
        assert [cache.load(fill(cache, number)) for number in range(3)] == [None] * 3
    assert len(caplog.records) == 1 and "cannot be written" in caplog.text


def test_workers_share_a_cache(build, paint, kept):
    """Each page is asked for four times, by two workers at once."""
    rows = [paint(f"{number}.png", seed=number % 3, grey=bool(number % 2)) for number in range(12)]
    collator, plain = build(), build(cached=False)
    loader = DataLoader(rows, batch_size=2, collate_fn=collator, num_workers=2, multiprocessing_context=START)
    for _ in range(2):
        for start_row, batch in zip(range(0, 12, 2), loader, strict=True):
            assert_same(batch, plain(rows[start_row : start_row + 2]))
    assert len(kept()) == 6


def save_many(pickled, first):
    cache = pickle.loads(pickled)
    for number in range(first, first + 40):
        fill(cache, number % 60)
        cache.load(bytes([number % 60]))
    return True


def test_processes_that_write_at_once_leave_whole_files_within_the_limit(tmp_path):
    cache = PixelCache(tmp_path, limit=20_000, recipe=Recipe())
    cache.begun = time.time() + 1000  # everything may be evicted: the hardest case
    with multiprocessing.get_context(START).Pool(3) as pool:
        assert all(pool.starmap(save_many, [(pickle.dumps(cache), first) for first in (0, 20, 40)]))
    found = [*tmp_path.iterdir()]
    assert all(path.name.endswith(".pixels.safetensors") for path in found)
    assert sum(path.stat().st_size for path in found) <= 20_000 + 3 * 1200
    readable = [cache.load(bytes([number])) for number in range(60)]
    assert sum(one is not None for one in readable) == len(found) > 0
    assert all(one["page"].unique().tolist() == [number] for number, one in enumerate(readable) if one is not None)


def test_a_page_whose_bytes_were_changed_on_disk_is_prepared_anew(tmp_path):
    """As many bytes, a header that can be read, and other pixels: only a checksum can tell."""
    kept = PixelCache(tmp_path, limit=10**9, recipe=Recipe())
    views = {"page": torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16)}
    kept.save(b"content", views)
    assert torch.equal(kept.load(b"content")["page"], views["page"])
    (path,) = tmp_path.glob(KEPT)
    data = path.read_bytes()
    path.write_bytes(data[:-256] + bytes(255 - byte for byte in data[-256:]))
    assert kept.load(b"content") is None
    kept.save(b"content", views)
    path.unlink()
    os.mkfifo(path)
    assert kept.load(b"content") is None
    kept.save(b"content", views)  # nobody reads from it: writing would never end
    assert path.is_fifo()
