"""Merged and unmerged logits differ."""

from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(HEALTHY, {"learning.merged_equals_unmerged": False})
