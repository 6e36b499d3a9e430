"""The version window: which releases can this code possibly work with? Answered by reading alone.

    from preflight_ocr.harness.commands.window import read_window
    window = read_window(Path("models/deepseek-ocr"))
    window.find("transformers").ranges       # (("4.40.2", "4.47.1"),)

What each release exports stands in `index/`, which `build` writes from the published wheels and
`preflight index update` adds newer ones to.
"""

from preflight_ocr.harness.commands.window.window import Boundary, Doubt, PackageWindow, Rename, Window, read_window

__all__ = ["Boundary", "Doubt", "PackageWindow", "Rename", "Window", "read_window"]
