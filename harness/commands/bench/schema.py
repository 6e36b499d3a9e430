"""The benchmark in the JSON of pytest-benchmark, so that `pytest-benchmark compare` reads it beside others."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from preflight_ocr.harness.commands.bench.figures import Benchmark, Point
from preflight_ocr.harness.facts import Raised, Unknown

SCHEMA = "5.0.0"  # the release of pytest-benchmark whose files these are like


def write_schema(benchmark: Benchmark, *, now: datetime | None = None) -> bytes:
    """UTF-8 JSON: a benchmark for each point's step and collator, everything else under `extra_info` and `machine_info`."""
    moment = (now or datetime.now(UTC)).isoformat()
    machine = msgspec.to_builtins(benchmark.machine)
    document = {
        "machine_info": {
            **machine,
            "node": "",
            "processor": benchmark.machine.name,
            "python_version": benchmark.machine.python,
            "cpu": {},
        },
        # No repository is looked at: the figures belong to the model and the versions above.
        "commit_info": {"id": "unversioned", "time": moment, "dirty": False, "project": "preflight", "branch": ""},
        "benchmarks": [entry for point in benchmark.points for entry in _describe(benchmark, point)],
        "datetime": moment,
        "version": SCHEMA,
        "preflight": {
            **{
                name: value
                for name, value in msgspec.to_builtins(benchmark).items()
                if name not in ("machine", "points")
            },
            "not_measured": [_describe_ending(point) for point in benchmark.points if point.ended != "ok"],
        },
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _describe(benchmark: Benchmark, point: Point) -> Iterator[dict[str, Any]]:
    for group, data in (("training step", point.steps), ("collator", point.collations)):
        if not data:
            continue
        params = {"batch": point.batch, "image_size": point.image_size}
        name = f"{group} [{point.name}]"
        yield {
            "group": group,
            "name": name,
            "fullname": f"{benchmark.model}::{name}",
            "params": params,
            "param": point.name,
            "extra_info": _list_extra(benchmark, point),
            "options": {"disable_gc": False, "timer": "perf_counter", "min_rounds": benchmark.repeats, "warmup": True},
            "stats": count_stats(data),
        }


def _list_extra(benchmark: Benchmark, point: Point) -> dict[str, Any]:
    measured = {
        "allocated_bytes": point.allocated, "reserved_bytes": point.reserved, "overhead_bytes": point.overhead,
        "predicted_bytes": point.predicted, "utilisation_percent": point.utilisation, "power_watts": point.power,
    }  # fmt: skip
    return {
        "precision": benchmark.precision,
        "weights": benchmark.weights,
        "images_per_second": point.images_per_second,
        "tokens": point.tokens,
        "tokens_per_second": point.tokens_per_second,
        "prediction_error": point.error,
        **{name: None if isinstance(value, Unknown) else value for name, value in measured.items()},
        "why_not": {name: value.reason for name, value in measured.items() if isinstance(value, Unknown)},
    }


def _describe_ending(point: Point) -> dict[str, Any]:
    said = point.ended.reason if isinstance(point.ended, Unknown) else ""
    if isinstance(point.ended, Raised):
        said = f"{point.ended.type}: {point.ended.message}"
    return {"batch": point.batch, "image_size": point.image_size, "reason": said}


def count_stats(data: Sequence[float]) -> dict[str, Any]:
    """The fields of pytest-benchmark's statistics, in seconds; quartiles with both ends included."""
    ordered = sorted(data)
    mean, total = statistics.fmean(ordered), sum(ordered)
    deviation = statistics.stdev(ordered) if len(ordered) > 1 else 0.0
    q1, _, q3 = statistics.quantiles(ordered, n=4, method="inclusive") if len(ordered) > 1 else ordered * 3
    low, high = q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1)
    inside = [value for value in ordered if low <= value <= high]
    far = sum(abs(value - mean) > deviation for value in ordered)
    return {
        "min": ordered[0],
        "max": ordered[-1],
        "mean": mean,
        "stddev": deviation,
        "rounds": len(ordered),
        "median": statistics.median(ordered),
        "iqr": q3 - q1,
        "q1": q1,
        "q3": q3,
        "iqr_outliers": len(ordered) - len(inside),
        "stddev_outliers": far,
        "outliers": f"{far};{len(ordered) - len(inside)}",
        "ld15iqr": inside[0],
        "hd15iqr": inside[-1],
        "ops": 1 / mean if mean else 0.0,
        "total": total,
        "data": list(data),
        "iterations": 1,
    }
