from __future__ import annotations

import json
import subprocess
import sys

import pytest

from preflight_ocr.harness.commands.bench.schema import count_stats, write_schema


@pytest.mark.parametrize("data", [(0.3,), (0.1, 0.2), (0.1, 0.11, 0.12, 0.13, 5.0), tuple(range(1, 30))])
def test_statistics_are_those_of_the_library_that_reads_them(data):
    stats = pytest.importorskip("pytest_benchmark.stats").Stats()
    for value in data:
        stats.update(value)
    ours = count_stats(data)
    assert set(stats.fields) <= set(ours)
    for field in ("min", "max", "mean", "stddev", "rounds", "median", "ops", "total", "stddev_outliers"):
        assert ours[field] == pytest.approx(getattr(stats, field)), field
    fences = [ours[field] for field in ("ld15iqr", "q1", "median", "q3", "hd15iqr")]
    assert fences == sorted(fences) and min(data) <= fences[0] and fences[-1] <= max(data)


def test_one_that_is_far_away_is_an_outlier():
    stats = count_stats((0.1, 0.11, 0.12, 0.13, 5.0))
    assert stats["outliers"] == "1;1" and stats["hd15iqr"] == 0.13


def test_each_point_has_a_step_and_a_collator_with_everything_else_beside(measured):
    document = json.loads(write_schema(measured))
    names = [entry["name"] for entry in document["benchmarks"]]
    assert names[:2] == ["training step [batch 1]", "collator [batch 1]"] and len(names) == 6
    extra = document["benchmarks"][0]["extra_info"]
    assert extra["tokens_per_second"] == 1000 and extra["power_watts"] == 71.5 and extra["why_not"] == {}
    assert document["machine_info"]["driver"] == "580.65"
    assert document["machine_info"]["packages"]["torch"] == "2.13.0+cu128"
    assert [lost["batch"] for lost in document["preflight"]["not_measured"]] == [8, 16]


def test_pytest_benchmark_compares_the_files(measured, tmp_path):
    pytest.importorskip("pytest_benchmark")
    for name in ("before", "after"):
        (tmp_path / f"{name}.json").write_bytes(write_schema(measured))
    command = "from pytest_benchmark.cli import main; main()"
    files = [str(tmp_path / f"{name}.json") for name in ("before", "after")]
    ended = subprocess.run(
        [sys.executable, "-c", command, "compare", *files, "--csv", str(tmp_path / "table.csv")],
        capture_output=True, text=True, encoding="utf-8", check=False, cwd=tmp_path,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "training step [batch 4]" in ended.stdout and "collator [batch 1]" in ended.stdout
    assert len((tmp_path / "table.csv").read_text(encoding="utf-8").splitlines()) == 1 + 2 * 6
