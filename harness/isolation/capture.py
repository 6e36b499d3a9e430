"""What a child prints, kept within bounds."""

from __future__ import annotations

import os
import threading

__all__ = ["Capture"]


class Capture(threading.Thread):
    """Reads a pipe to its end and keeps the beginning and the end of what came."""

    def __init__(self, descriptor: int, limit: int) -> None:
        super().__init__(daemon=True)
        self._descriptor = descriptor
        self._half = max(limit // 2, 1)
        self._head = bytearray()
        self._tail = bytearray()
        self._total = 0
        self._guard = threading.Lock()
        self.start()

    def run(self) -> None:
        with os.fdopen(self._descriptor, "rb", buffering=0) as pipe:
            while chunk := pipe.read(2**16):
                with self._guard:
                    self._total += len(chunk)
                    room = self._half - len(self._head)
                    self._head += chunk[:room]
                    self._tail += chunk[room:]
                    if len(self._tail) > 2 * self._half:
                        del self._tail[: -self._half]

    def read(self) -> str:
        with self._guard:
            tail = bytes(self._tail[-self._half :])
            left_out = self._total - len(self._head) - len(tail)
            gap = f"\n[... {left_out} bytes left out ...]\n".encode() if left_out else b""
            return (bytes(self._head) + gap + tail).decode("utf-8", errors="replace")
