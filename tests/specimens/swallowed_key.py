"""Pixels under a misspelt name and an open signature; near it, a key nobody reads that stands for nothing."""

from preflight_ocr.harness.facts import Delta, Leaf, Parameter
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

SIGNATURE = (*RUN.forward.signature.parameters, Parameter(name="loss_kwargs", kind="var_keyword", has_default=True))  # type: ignore[union-attr]
KEYS = ("input_ids", "attention_mask", "labels", "image", "images_seq_mask", "images_spatial_crop")
PIXELS = Leaf(
    argument="image",
    path="image",
    kind="tensor",
    shape=(1, 3, 128, 128),
    dtype="float32",
    device="cpu",
    minimum=None,
    maximum=None,
    mean=None,
)

HEALTHY = altered(
    RUN,
    {
        "forward.signature.parameters": SIGNATURE,
        "collator.batch.keys": (*RUN.collator.batch.keys, "row_numbers"),  # type: ignore[union-attr]
        "forward.idle_keys": ("row_numbers",),
    },
)
SICK = altered(
    RUN,
    {
        "forward.signature.parameters": SIGNATURE,
        "forward.idle_keys": ("image",),
        "forward.behaviour.image_reaches": (False, False),
        "collator.batch.keys": KEYS,
        "collator.batch.leaves": (PIXELS,),
        "collator.deltas": (
            Delta(argument="image", path="image", kind="unexpected", seen="tensor", expected="no such argument"),
            Delta(argument="images", path="images", kind="missing", seen="absent", expected="list of 2"),
        ),
        "collator.views": (),
    },
)
