"""Messages about dtypes and devices that meet where they must not."""

from __future__ import annotations

from preflight_ocr.harness.commands.triage.recogniser import Cause, Groups, Recogniser
from preflight_ocr.harness.commands.triage.table import places


def _is_device(groups: Groups) -> bool:
    """`torch.FloatTensor` beside `torch.cuda.FloatTensor`: one dtype on two devices."""
    return ("cuda" in groups["input"].lower()) != ("cuda" in groups["weight"].lower())


def _is_half_image(groups: Groups) -> bool:
    return not _is_device(groups) and "bfloat16" in groups["input"].lower()


_IMAGES = Cause(
    diagnosis="image_dtype_mismatch",
    why="The collator's images have another dtype than the vision weights.",
    check="Print the dtype of the image tensors of one batch beside that of the vision tower's first weight.",
)
_WEIGHTS = Cause(
    diagnosis="mixed_model_dtypes",
    why="Weights or activations of different dtypes meet inside the model.",
    check="Count the dtypes of the model's parameters, and look whether evaluation runs without autocast.",
    proof=rf"\A(?![\s\S]*(?:{places.VISION}))[\s\S]*{places.MODEL_CODE}",
)
_DEVICE = "A tensor stays on another device than the rest: code names a device, or makes a helper on the CPU."

TABLE = (
    Recogniser(
        patterns=(r"Attempting to unscale FP\d+ gradients",),
        causes=(
            Cause(
                diagnosis="fp16_master_weights",
                why="fp16 training scales the loss, and the gradients of float16 weights cannot be unscaled.",
                check="Print the dtypes of the parameters that require a gradient: they should be float32.",
            ),
        ),
    ),
    Recogniser(
        patterns=(
            r"Input type \((?P<input>[^()]+)\) and (?:bias|weight) type \((?P<weight>[^()]+)\) should be the same",
        ),
        causes=(
            Cause(
                diagnosis="fixed_vision_dtype",
                why="The vision tower casts its input to bfloat16 by itself, and its weights are of another dtype.",
                check="Load the model in bfloat16, or train float32 weights under bf16 autocast.",
                holds=_is_half_image,
                proof=r"modeling_dots_vision|DotsVision",
            ),
            Cause(
                diagnosis="image_dtype_mismatch",
                why=_IMAGES.why,
                check=_IMAGES.check,
                holds=lambda groups: not _is_device(groups),
            ),
            Cause(
                diagnosis="hard_coded_device",
                why=_DEVICE,
                check="Look where the input named in the message was made and who moves it.",
                holds=_is_device,
                sure=False,
            ),
        ),
    ),
    Recogniser(
        patterns=(
            r"Index put requires the source and destination dtypes match",
            r"index_add_\(\): self \(\w+\) and source",
        ),
        causes=(
            Cause(
                diagnosis="mixed_model_dtypes",
                why="The model's code writes the result of an autocast operation into a tensor of another dtype.",
                check="Compare torch_dtype with bf16/fp16: load the weights in the dtype that training computes in.",
            ),
        ),
    ),
    Recogniser(
        patterns=(
            r"expected scalar type \w+ but found \w+",
            r"expected m\d and m\d to have the same dtype",
            r"mat\d and mat\d must have the same dtype",
            r"Expected query, key, and value to have the same dtype",
            r"masked_scatter_?: expected self and source to have same dtypes",
        ),
        causes=(_WEIGHTS, _IMAGES),
    ),
    Recogniser(
        patterns=(
            r"Expected all tensors to be on the same device",
            r"Expected object of device type \w+ but got device type",
        ),
        causes=(
            Cause(
                diagnosis="hard_coded_device",
                why=_DEVICE,
                check="Look at the line of the last frame of the model's code, and at device_map.",
                proof=r"\.cuda\(|\.to\(['\"]cuda|device=['\"](?:cuda|cpu)",
            ),
        ),
    ),
    Recogniser(
        patterns=(r"Torch not compiled with CUDA enabled", r"Found no NVIDIA driver on your system"),
        within=places.MODEL_CODE,
        causes=(
            Cause(
                diagnosis="hard_coded_device",
                why="The model's code sends a tensor to a CUDA device, and there is none.",
                check="Look at the line of the last frame of the model's code.",
                proof=places.MODEL_CODE,
            ),
        ),
    ),
)
