"""Isolation costs milliseconds per child, not the seconds that importing the libraries takes (DESIGN 5)."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from preflight_ocr.harness.isolation import Returned, Sandbox

pytestmark = [
    pytest.mark.slow,  # seconds are compared, which asks for a process that has the machine to itself
    pytest.mark.skipif(sys.platform != "linux", reason="children are forked on Linux only"),
]
MOST_SECONDS = 0.3


@pytest.fixture(scope="module")
def bare_import_seconds() -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch, transformers"], check=True)
    return time.perf_counter() - begin


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        assert sandbox.preloaded["torch"] == sandbox.preloaded["transformers"] == "ok"
        yield sandbox


def test_a_forked_child_costs_a_fraction_of_the_import_it_saves(
    benchmark: BenchmarkFixture, sandbox: Sandbox, bare_import_seconds: float
) -> None:
    taken: list[float] = []

    def call() -> None:
        begin = time.perf_counter()
        ending = sandbox.run("builtins:dict", {"a": 1})
        taken.append(time.perf_counter() - begin)
        assert isinstance(ending, Returned)

    benchmark.pedantic(call, rounds=10, warmup_rounds=1)  # type: ignore[no-untyped-call]
    seconds = statistics.median(taken)
    benchmark.extra_info["ratio_to_bare_import"] = seconds / bare_import_seconds
    assert seconds <= MOST_SECONDS
    assert seconds / bare_import_seconds <= 0.25
