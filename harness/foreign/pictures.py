"""What decoding a damaged picture may raise, in one place: the check and the training run must agree on it."""

from __future__ import annotations

import re
import struct
import zlib

BROKEN_PICTURE = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError,
    MemoryError, struct.error, zlib.error,
)  # fmt: skip
"""What Pillow's many format readers raise for broken files; all of it means the same to training. DecompressionBombError
is not among them: it is a judgement of the size, not of the file."""


def tell_broken(error: BaseException, content: bytes) -> str:
    """What is wrong with a picture whose bytes are `content`: Pillow's own words name an object of Python's where it knows
    none of the file's bytes."""
    if not content:
        return "the file is empty"
    if re.search(r"<_io\.\w+ object", str(error)):
        return f"its {len(content):,} bytes are of no picture format that Pillow knows, or are cut short"
    return str(error) or type(error).__name__
