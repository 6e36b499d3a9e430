"""What a process touched is told whatever stands among its modules."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys, types
from preflight_ocr.harness.isolation.touched import listen

class Library:
    "As cffi's: says that it is a module, and is none."
    @property
    def __class__(self):
        return types.ModuleType

tell = listen()
sys.modules["library"] = Library()
assert isinstance(sys.modules["library"], types.ModuleType)
print(type(tell()).__name__)
"""


def test_an_object_that_says_it_is_a_module_and_is_none_is_passed_over():
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert ended.stdout.strip() == "tuple", ended.stderr
