"""`python -m preflight_ocr` is `preflight`."""

from preflight_ocr.harness.cli import preflight

preflight(prog_name="preflight")
