"""A decoder held to its own input; near it, an encoder-decoder, for which the very same reading is right."""

from preflight_ocr.harness.facts import Parameter, Signature
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

SEQ2SEQ = Signature(
    owner="VisionEncoderDecoderModel.forward",
    parameters=tuple(
        Parameter(name=name, kind="positional_or_keyword", has_default=True)
        for name in ("pixel_values", "decoder_input_ids", "labels")
    ),
)
HEALTHY = altered(RUN, {"forward.signature": SEQ2SEQ, "forward.loss_reads": "same"})
SICK = altered(RUN, {"forward.loss_reads": "same"})
