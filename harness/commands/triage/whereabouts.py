"""Where a traceback happened: the last line of the user's own code, the library function below it, and what looks there."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from preflight_ocr.harness.commands.triage.pieces import Failure, Frame
from preflight_ocr.harness.diagnoses import catalogue

_LIBRARY = re.compile(
    r"[\\/](?:site|dist)-packages[\\/](?P<module>.+)$|"
    r"[\\/](?:lib[\\/]python[\d.]+|Python[\d.]+[\\/]Lib)[\\/](?!(?:site|dist)-packages)(?P<standard>.+)$"
)
_INTERNAL = re.compile(r"^<(?!ipython)|transformers_modules[\\/]|(?:modeling|configuration|processing)_\w+\.py$")
_KEYS = re.compile(
    r"\b(pixel_\w+|images?_\w+|images|input_ids|attention_mask|token_type_ids|position_ids|labels|decoder_\w+|video_\w+|"
    r"past_key_values|inputs_embeds|state_dict|target_modules|text|tokenizer|processor|optimizer)\b"
)
_QUOTED = re.compile(r"[`'\"](\w+)[`'\"]")

_STAGES = (
    (r"safetensors|save_pretrained|save_model|_save_checkpoint|load_adapter|load_state_dict", ("SAV",)),
    (r"[\\/]peft[\\/]", ("LRA", "SAV")),
    (r"\bgenerate\b|generation[\\/]", ("FWD", "LRN")),
    (r"collat|data_collator|fetch\.py|_MapDatasetFetcher", ("COL", "LBL")),
    (r"processing_\w+\.py|image_processing|feature_extraction|tokenization_|image_transforms", ("PRC", "COL")),
    (r"[\\/]PIL[\\/]|[\\/]datasets[\\/]|\bjson[\\/]decoder", ("DAT",)),
    (r"training_args|[\\/]hf_argparser|configuration_utils", ("CFG", "VER")),
    (r"from_pretrained|modeling_utils|auto_factory|dynamic_module_utils|importlib", ("VER", "PRC", "ENV")),
    (r"[\\/]torch[\\/]optim|_engine_run_backward|\bbackward\b|lr_scheduler|accelerator\.py", ("LRN", "DTY", "LRA")),
    (r"modeling_\w+\.py|[\\/]torch[\\/]nn[\\/]|\bforward\b", ("FWD", "COL", "DTY", "DEV")),
)
"""What a frame shows of the run's stage, the narrow before the wide, and the families of codes that look there."""


class Whereabouts(msgspec.Struct, frozen=True, kw_only=True):
    """What a traceback says of its place; each is empty where it says nothing.

    `own` is the innermost line that belongs to neither a library nor a model, as `file:line in function: code`; `raised_by`
    the library function below it; `argument` the argument that is spoken of; `contracts` are codes.
    """

    own: str = ""
    raised_by: str = ""
    argument: str = ""
    contracts: tuple[str, ...] = ()


def locate(failure: Failure) -> Whereabouts:
    """Read the frames of one exception. Nothing is imported and no file is opened."""
    own = next((frame for frame in reversed(failure.frames) if _is_own(frame)), None)
    library = next((frame for frame in reversed(failure.frames) if not _is_own(frame)), None)
    return Whereabouts(
        own=_describe(own) if own else "",
        raised_by=f"{_name_module(library.file)}.{library.function}" if library and library.function else "",
        argument=_find_argument(failure),
        contracts=_list_contracts(failure.frames),
    )


def _is_own(frame: Frame) -> bool:
    return not (_LIBRARY.search(frame.file) or _INTERNAL.search(frame.file))


def _describe(frame: Frame) -> str:
    place = f"{frame.file}:{frame.line}" + (f" in {frame.function}" if frame.function else "")
    return f"{place}: {frame.code}" if frame.code else place


def _name_module(file: str) -> str:
    """`transformers.models.qwen2_vl.modeling_qwen2_vl` of a file below site-packages, else the file's own name."""
    found = _LIBRARY.search(file)
    path: str = (found["module"] or found["standard"]) if found else re.split(r"[\\/]", file)[-1]
    return re.sub(r"[\\/]", ".", path.removesuffix(".py")).removesuffix(".__init__")


def _find_argument(failure: Failure) -> str:
    """An argument that the message quotes, else one that the innermost lines of code name."""
    quoted: list[str] = [word for word in _QUOTED.findall(failure.message) if _KEYS.fullmatch(word)]
    if quoted:
        return quoted[0]
    spoken = (
        _KEYS.search(text) for text in (failure.message, *(frame.code for frame in reversed(failure.frames[-3:])))
    )
    return next((str(found[1]) for found in spoken if found), "")


def _list_contracts(frames: Iterable[Frame]) -> tuple[str, ...]:
    """Codes of the contracts that look at the innermost stage that the frames show."""
    for frame in reversed(tuple(frames)):
        seen = f"{frame.file} {frame.function}"
        families = next((families for pattern, families in _STAGES if re.search(pattern, seen)), None)
        if families:
            codes = [module.DIAGNOSIS.code for module in catalogue()]
            return tuple(code for family in families for code in codes if code.startswith(family))
    return ()
