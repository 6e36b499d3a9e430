"""The search itself: healthy collators survive it, and what it finds is small, kept, and found again."""

from __future__ import annotations

import re
import time

import pytest

from preflight_ocr.fixtures.corpus.models import find_miniatures
from preflight_ocr.harness.commands.fuzz.samples import read_kept
from preflight_ocr.harness.commands.fuzz.search import RUNNING, replay, search

NATIVE = [model.name for model in find_miniatures() if model.is_native]
FEW = ("qwen2_vl", "idefics3", "paligemma", "trocr")  # by patches, by tiles, by a square, by a picture alone


def explain(name, found):
    """What to look at when a search fails."""
    return "\n".join(
        f"{name}: {broken.promise}: {broken.seen}\n  {broken.sample.describe()}\n  kept in {broken.folder}; "
        "once it is mended, move that folder to tests/replays"
        for broken in found.broken
    )


@pytest.mark.parametrize("name", FEW)
def test_our_collator_survives_a_few_generated_batches(open_bench, tmp_path, name):
    found = search(open_bench(name), tmp_path / name, examples=8, seconds=30, models=(name,))
    assert not found.broken, explain(name, found)
    assert found.tried >= 1 and not found.out_of_time


@pytest.mark.slow
@pytest.mark.parametrize("name", NATIVE)
def test_our_collator_survives_many_generated_batches(open_bench, tmp_path, name):
    found = search(open_bench(name), tmp_path / name, examples=100, seconds=240, models=(name,), seed=3)
    assert not found.broken, explain(name, found)
    assert found.taken > found.tried / 2


def forget_control_tokens(inner, rows):
    protected, inner._protected = inner._protected, re.compile("(?!)")
    try:
        return inner(rows)
    finally:
        inner._protected = protected


@pytest.mark.slow
def test_a_failure_is_shrunk_kept_and_found_again(spoil, open_bench, tmp_path):
    spoiled = spoil(forget_control_tokens, own=True)
    found = search(spoiled, tmp_path, examples=60, seconds=60, forward_every=0, models=("qwen2_vl",))
    (broken,) = found.broken
    (sheet,) = broken.sample.sheets
    assert broken.promise in ("ends-once", "keeps-its-placeholders")
    assert sheet.text in ("<|im_end|>", "<|image_pad|>")
    assert sheet.pages == () or max(sheet.pages[0].width, sheet.pages[0].height) <= 64
    assert broken.folder == str(tmp_path / broken.promise)
    expectation, rows = read_kept(tmp_path / broken.promise)
    assert (expectation.promise, expectation.models) == (broken.promise, ("qwen2_vl",))
    assert [row["text"] for row in rows] == [sheet.text]
    assert broken.promise in [breach.promise for breach in replay(spoiled, tmp_path / broken.promise)]
    assert replay(open_bench("qwen2_vl"), tmp_path / broken.promise) == []
    assert not (tmp_path / RUNNING).exists()


def test_a_search_is_repeatable(spoil, tmp_path):
    def refuse(inner, rows):
        raise ZeroDivisionError(rows[0]["text"])

    first, second = (search(spoil(refuse, own=True), tmp_path / name, examples=25) for name in ("a", "b"))
    assert [broken.sample for broken in first.broken] == [broken.sample for broken in second.broken]
    assert first.tried == second.tried
    other = search(spoil(lambda inner, rows: inner(rows)), tmp_path / "c", examples=5, forward_every=0)
    again = search(spoil(lambda inner, rows: inner(rows)), tmp_path / "d", examples=5, forward_every=0)
    assert other.taken == again.taken > 0


@pytest.mark.slow
def test_a_search_ends_when_its_time_is_over_and_keeps_what_it_has(spoil, tmp_path):
    def dawdle(inner, rows):
        time.sleep(0.3)
        if sum(len(row["text"]) for row in rows) > 20:  # takes a while to shrink
            raise ZeroDivisionError("slowly")
        return inner(rows)

    started = time.monotonic()
    found = search(spoil(dawdle, own=True), tmp_path, examples=1000, seconds=6)
    assert found.out_of_time and time.monotonic() - started < 20
    assert [broken.promise for broken in found.broken] == ["takes-its-rows"]
    assert (tmp_path / "takes-its-rows" / "metadata.json").is_file()


def test_the_sample_being_tried_is_on_the_disk_for_whoever_finds_the_process_dead(spoil, tmp_path):
    seen = []

    def look(inner, rows):
        seen.append((tmp_path / RUNNING).is_file())
        return inner(rows)

    search(spoil(look), tmp_path, examples=2, forward_every=0)
    assert seen and all(seen[1:])
