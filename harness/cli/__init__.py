"""The commands `preflight` and `run-training`. Thin: whatever is heavy is imported by the command that needs it."""

from harness.cli import checking, training, triage, trying, versions
from harness.cli.options import EPILOG, preflight
from harness.cli.training import run_training

COMMANDS = (checking, training, triage, trying, versions)  # importing a module adds its commands to the group

__all__ = ["COMMANDS", "EPILOG", "preflight", "run_training"]
