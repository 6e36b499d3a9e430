"""The commands `preflight` and `run-training`. Thin: whatever is heavy is imported by the command that needs it."""

from preflight_ocr.harness.cli import (
    bench,
    checking,
    matrix,
    memory,
    preparing,
    reporting,
    starting,
    trained,
    training,
    triage,
    trying,
    versions,
)
from preflight_ocr.harness.cli.options import EPILOG, preflight
from preflight_ocr.harness.cli.training import run_training

# Importing a module adds its commands to the group.
COMMANDS = (
    bench, checking, matrix, memory, preparing, reporting, starting, trained, training, triage, trying, versions,
)  # fmt: skip

__all__ = ["COMMANDS", "EPILOG", "preflight", "run_training"]
