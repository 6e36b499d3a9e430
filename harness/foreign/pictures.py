"""What decoding a damaged picture may raise, in one place: the check and the training run must agree on it."""

from __future__ import annotations

import struct
import zlib

BROKEN_PICTURE = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError,
    MemoryError, struct.error, zlib.error,
)  # fmt: skip
"""What Pillow's many format readers raise for broken files; all of it means the same to training. DecompressionBombError
is not among them: it is a judgement of the size, not of the file."""
