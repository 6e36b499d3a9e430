"""How a run divides, stops, goes on and ends; and what it costs."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from array import array
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from preflight_ocr.harness.commands.prepare import crew
from preflight_ocr.harness.commands.prepare import work as working
from preflight_ocr.harness.commands.prepare.divide import Joined, divide
from tests.support.scans import draw, fill_folder, list_rows, read_lines, read_rows


def digest(output: Path) -> dict[str, str]:
    """Every file of the result but the summary, which has the time."""
    return {path.relative_to(output).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(output.rglob("*")) if path.is_file() and path.name != "summary.json"}  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    joins=st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), max_size=30),
    kinds=st.lists(st.integers(0, 2), min_size=40, max_size=40),
    seed=st.integers(0, 5),
)
def test_what_belongs_together_never_crosses_and_shares_are_held(joins, kinds, seed):
    joined = Joined(40)
    for first, second in joins:
        joined.join(first, second)
    together = array("q", map(joined.find, range(40)))
    splits = divide(together, kinds, ["a", "b", "c"], shares=(80, 10, 10), seed=seed)
    for first, second in joins:
        assert splits[first] == splits[second]
    sizes = [list(together).count(one) for one in set(together)]
    for split, wanted in enumerate((32, 4, 4)):
        assert abs(splits.count(split) - wanted) <= max(sizes) + 1
    assert splits == divide(together, kinds, ["a", "b", "c"], shares=(80, 10, 10), seed=seed)
    if len(sizes) > 2:
        assert set(splits) == {0, 1, 2}


def test_each_kind_has_its_share_of_each_split():
    kinds = [0] * 700 + [1] * 200 + [2] * 100
    splits = divide(range(1000), kinds, ["a", "b", "c"], shares=(80, 10, 10), seed=3)
    for kind, rows in ((0, 700), (1, 200), (2, 100)):
        of_kind = [split for split, one in zip(splits, kinds, strict=True) if one == kind]
        assert [round(of_kind.count(split) / rows, 2) for split in range(3)] == [0.8, 0.1, 0.1]


def fill_with_copies(folder: Path) -> None:
    """Twenty pictures, of each a smaller JPEG copy, and of each a copy of the same pixels in another file."""
    fill_folder(folder, 20)
    for path in sorted(folder.glob("*.png")):
        text = path.with_suffix(".txt").read_text(encoding="utf-8")
        picture = Image.open(path)
        picture.resize((180, 36)).save(folder / f"n{path.stem}.jpg", quality=60)
        picture.save(folder / f"e{path.stem}.png", compress_level=1)
        for mark in "ne":
            (folder / f"{mark}{path.stem}.txt").write_text(text, encoding="utf-8")


def test_copies_and_near_copies_stand_on_one_side(run, tmp_path):
    fill_with_copies(tmp_path / "in")
    said = run(tmp_path / "in", "-o", tmp_path / "out")
    assert "20 copies of an earlier picture, 20 near duplicates" in said and "the largest set has 3 rows" in said
    where: dict[str, set[str]] = {}
    for split, rows in read_rows(tmp_path / "out").items():
        assert rows
        for row in rows:
            where.setdefault(row["origin"].rpartition(".")[0].lstrip("ne"), set()).add(split)
    assert len(where) == 20 and all(len(splits) == 1 for splits in where.values())


def test_without_looking_for_near_duplicates_they_cross(run, tmp_path):
    fill_with_copies(tmp_path / "in")
    assert "near duplicates" not in run(tmp_path / "in", "-o", tmp_path / "out", "--near", "0")


def test_one_picture_with_two_texts_is_said(run, tmp_path):
    fill_folder(tmp_path / "in", 2)
    (tmp_path / "in" / "001.png").write_bytes((tmp_path / "in" / "000.png").read_bytes())
    assert "1 pictures have another text" in run(tmp_path / "in", "-o", tmp_path / "out")


def write_rows(folder: Path, count: int) -> Path:
    texts = fill_folder(folder, count)
    rows = [{"image_path": f"{n:03d}.png", "text": text, "writer": f"w{n % 7}"} for n, text in enumerate(texts)]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_group_is_never_divided_and_a_seed_decides(run, tmp_path):
    source = write_rows(tmp_path / "in", 40)
    seen = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(source, "-o", tmp_path / name, "--group-by", "writer", "--seed", seed, "--split", "60,20,20")
        writers = {split: {row["writer"] for row in rows} for split, rows in read_rows(tmp_path / name).items()}
        assert sum(map(len, writers.values())) == 7
        assert all(writers.values())
        seen.append(digest(tmp_path / name))
    assert seen[0] == seen[1] and seen[0] != seen[2]


def test_a_stopped_run_goes_on_and_gives_what_one_go_gives(run, tmp_path, monkeypatch):
    source = write_rows(tmp_path / "in", 40)
    run(source, "-o", tmp_path / "whole")
    real, looked_at = working.work, []

    def stop(number, unit, asked):
        looked_at.append(number)
        if number == 35:
            raise OSError(28, "No space left on device")
        return real(number, unit, asked)

    monkeypatch.setattr(working, "work", stop)
    assert "goes on" in run(source, "-o", tmp_path / "out", code=2)
    assert not (tmp_path / "out" / "train").exists()
    with (tmp_path / "out" / ".prepare" / "journal.jsonl").open("ab") as file:
        file.write(b'[32,[{"type":"ke')  # the machine went down while it wrote
    monkeypatch.setattr(working, "work", lambda *given: (looked_at.append(given[0]), real(*given))[1])
    looked_at.clear()
    assert "32 were looked at by the run before" in run(source, "-o", tmp_path / "out")
    assert looked_at == list(range(32, 40))
    assert digest(tmp_path / "out") == digest(tmp_path / "whole")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "rejected.jsonl", "summary.json", "test", "train", "val"
    ]  # fmt: skip


def test_a_run_that_was_ended_while_it_put_things_in_place_is_finished(run, tmp_path, monkeypatch):
    from preflight_ocr.harness.commands.prepare import prepare as preparing

    source = write_rows(tmp_path / "in", 20)
    run(source, "-o", tmp_path / "whole")

    def end(ready, output):
        (ready / "train").replace(output / "train")
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(preparing, "put_in_place", end)
        run(source, "-o", tmp_path / "out", code=2)
    run(source, "-o", tmp_path / "out")
    assert digest(tmp_path / "out") == digest(tmp_path / "whole")


def test_a_journal_of_other_settings_or_rows_is_refused(run, tmp_path, monkeypatch):
    source = write_rows(tmp_path / "in", 20)
    with monkeypatch.context() as patch:
        patch.setattr(working, "work", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        run(source, "-o", tmp_path / "out", code=2)
    assert "--fresh" in run(source, "-o", tmp_path / "out", "--min-side", "9", code=2)
    run(source, "-o", tmp_path / "out", "--min-side", "9", "--fresh")


def test_a_finished_folder_is_refused_unless_fresh(run, tmp_path):
    fill_folder(tmp_path / "in", 3)
    run(tmp_path / "in", "-o", tmp_path / "out")
    before = digest(tmp_path / "out")
    assert "is finished; give --fresh" in run(tmp_path / "in", "-o", tmp_path / "out", code=2)
    assert digest(tmp_path / "out") == before
    run(tmp_path / "in", "-o", tmp_path / "out", "--fresh")


def test_a_folder_of_somebody_else_is_never_touched(run, tmp_path):
    fill_folder(tmp_path / "in", 3)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.odt").write_text("years", encoding="utf-8")
    for words in ((), ("--fresh",)):
        assert "is not empty" in run(tmp_path / "in", "-o", tmp_path / "out", *words, code=2)
    assert "lies in SOURCE" in run(tmp_path / "in", "-o", tmp_path / "in" / "out", code=2)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.odt"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--split", "80,20"), "expected three numbers"),
        (("--split", "0,50,50"), "expected a share above 0 for train"),
        (("--keep", "image"), "is written anyway, or read as picture"),
        (("--tokenizer", "nowhere"), "cannot be loaded"),
    ],
)
def test_what_is_asked_for_wrongly_is_a_sentence(run, tmp_path, words, said):
    fill_folder(tmp_path / "in", 1)
    assert said in run(tmp_path / "in", "-o", tmp_path / "out", *words, code=2)


def test_a_source_that_is_none_names_what_would_be_one(run, tmp_path):
    (tmp_path / "in").mkdir()
    assert "page.png, page.txt" in run(tmp_path / "in", "-o", tmp_path / "out", code=2)
    assert "there is no such file" in run(tmp_path / "gone", "-o", tmp_path / "out", code=2)


def test_rows_without_pictures_that_differ_leave_a_split_empty_and_it_is_said(run, tmp_path):
    fill_folder(tmp_path / "in", 1)
    said = run(tmp_path / "in", "-o", tmp_path / "out")
    assert "note: val is empty" in said and "note: test is empty" in said
    assert len(list_rows(tmp_path / "out")) == 1


PROGRAM = """
import sys
from preflight_ocr.harness.commands.prepare import crew, work
real = crew.work_on
def work_on(chunk, asked):
    import os
    if any(unit.origin == "003.png" for _, unit in chunk):
        os._exit(9)
    return real(chunk, asked)
crew.work_on = work_on
if __name__ == "__main__":
    from preflight_ocr.harness.cli import preflight
    preflight(sys.argv[1:])
"""


def test_a_decoder_that_ends_its_process_costs_that_row_alone(packages, tmp_path):
    fill_folder(tmp_path / "in", 8)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    words = ["prepare-data", tmp_path / "in", "-o", tmp_path / "out", "--jobs", "1"]
    done = subprocess.run(
        [sys.executable, program, *words], capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = read_lines(tmp_path / "out" / "rejected.jsonl")
    assert (line["origin"], line["reason"]) == ("003.png", "ended_process")
    assert len(list_rows(tmp_path / "out")) == 7


def test_processes_give_what_one_process_gives(run, tmp_path):
    source = write_rows(tmp_path / "in", 20)
    run(source, "-o", tmp_path / "one")
    run(source, "-o", tmp_path / "two", "--jobs", "2")
    assert digest(tmp_path / "one") == digest(tmp_path / "two")


PEAK = """
import sys
from pathlib import Path
from preflight_ocr.harness.commands.prepare import crew
crew.count_cores = lambda: 0
from preflight_ocr.harness.cli import preflight
preflight(sys.argv[1:], standalone_mode=False)
(peak,) = (line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(int(peak) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak as Linux counts it")
def test_four_times_the_rows_need_hardly_more_memory(packages, tmp_path):
    peaks = []
    picture = io.BytesIO()
    draw("x").resize((16, 16)).save(picture, "PNG")
    for count in (500, 2000):
        folder = tmp_path / str(count)
        folder.mkdir()
        (folder / "a.png").write_bytes(picture.getvalue())
        row = {"image_path": "a.png", "text": "word " * 2000}  # 5 MB of texts, 20 MB of them
        (folder / "rows.jsonl").write_text((json.dumps(row) + "\n") * count, encoding="utf-8")
        words = ["prepare-data", folder / "rows.jsonl", "-o", tmp_path / f"out{count}"]
        done = subprocess.run(
            [sys.executable, "-c", PEAK, *map(str, words)], capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout.split()[-1]))
    assert peaks[1] - peaks[0] < 12, peaks


def test_the_cores_that_are_used_are_those_that_may_be(monkeypatch):
    if hasattr(os, "sched_getaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 5, 6})
        assert crew.count_cores() == 3
