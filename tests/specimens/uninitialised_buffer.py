"""Rotary frequencies that are memory nobody wrote; a healthy model computed them again."""

from preflight_ocr.harness.facts import LostBuffer
from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

LOST = LostBuffer(
    name="vision_tower.rotary_pos_emb.inv_freq",
    shape=(8,),
    dtype="float32",
    seen="1.18e-38, 0, 2.24e-43, 0, ...",
    expected="1, 0.316, 0.1, 0.0316, ...",
)
SICK = altered(HEALTHY, {"forward.lost_buffers": (LOST,)})
