"""The best checkpoint is chosen by a rate that nobody computes."""

from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY, {"rehearsal.wanted_metric": "eval_cer", "rehearsal.metrics": ("eval_loss", "eval_wer", "epoch")}
)
