"""What is freed is kept by glibc where it is asked to, and given back where it is asked again."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

COUNT = """
import resource, torch
from preflight_ocr.probes.workbench.memory import give_freed_memory_back, keep_freed_memory
torch.set_num_threads(1)
def count():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.zeros(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
count()
plain = count()
assert keep_freed_memory()
count()
kept = count()
assert give_freed_memory_back()
print(plain, kept)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="this system has another allocator")
def test_pages_are_cleared_once_while_freed_memory_is_kept():
    ended = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True)
    plain, kept = map(int, ended.stdout.split())
    assert kept < plain / 10
