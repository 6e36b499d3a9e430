"""`python -m preflight_ocr` is `preflight`."""

import sys

# `-m` has put the current directory first on sys.path. The command `preflight` has nothing there: a `click.py` or a
# `datasets/` beside the user's YAML must not be taken for a library's.
if not sys.flags.safe_path:
    del sys.path[0]

from preflight_ocr.harness.cli import preflight

preflight(prog_name="preflight")
