"""`python -m harness.cli` is `preflight`."""

from harness.cli import preflight

preflight()
