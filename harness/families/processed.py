"""Pictures that the model's own processor prepares: transformers' native families."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from preflight_ocr.harness.families.family import FamilyError, Opening, Packing, Prepared

if TYPE_CHECKING:
    import torch
    from PIL import Image

_OWN = ("input_ids", "attention_mask", "labels")  # what our collator makes itself
_CHANNELS = 4  # the most that a processor takes a first dimension for
IMAGE_TOKEN_KEYS = ("image_token_id", "image_token_index")


class ProcessorIntake:
    """A row goes through the processor by itself; what it gives for the picture is joined along its first dimension.

    `form` is the whole prompt for families without a chat template, with {image} and {instruction} in it. With None the
    processor gets the picture alone; `writes_prompt` says that it then makes a prompt of its own. Without either nothing
    is tokenized, and the target is the whole sequence. `is_by_row` says that the first dimension counts rows, so that a
    row without an image needs an empty place. `strips` names what is one strip [1, C, P, patches * P] of the patches of all
    pictures, whose rows are joined along the last dimension. `encodes_prompt`: the prompt is an encoder's, with whatever
    ends it.
    """

    def __init__(
        self,
        opening: Opening,
        *,
        instruction: str,
        form: str | None = "{image}{instruction}",
        writes_prompt: bool = False,
        is_by_row: bool = False,
        strips: frozenset[str] = frozenset(),
        encodes_prompt: bool = False,
    ) -> None:
        self.processor, self.image_dtype, self.is_by_row = opening.processor, opening.image_dtype, is_by_row
        self.strips = strips
        if not hasattr(self.processor, "image_processor"):
            raise FamilyError(
                f"this model needs its processor, and a {type(self.processor).__name__} was loaded; "
                "fetch preprocessor_config.json and the processor's files of the same revision"
            )
        if opening.prompt is not None and form is None:
            raise FamilyError(
                "`data.prompt` has no place in this model, which is asked by its picture alone; remove it"
            )
        self._writes_prompt, self._encodes_prompt = writes_prompt, encodes_prompt
        images = self.processor.image_processor
        _configure(images, opening)
        self.mean, self.std = _read_normalisation(images)
        self.packing = _read_packing(images)
        self.image_token_id = _find_image_token_id(opening) if form is not None or writes_prompt else None
        self.image_token: str | None = None
        if self.image_token_id is not None:
            self.image_token = opening.tokenizer.convert_ids_to_tokens(self.image_token_id)
        self._eos = opening.tokenizer.eos_token_id
        wanted = instruction if opening.prompt is None else opening.prompt
        self._texts: dict[bool, str] | None = None
        if form is not None:
            self._texts = {has_image: self._render(opening, wanted, form, has_image) for has_image in (True, False)}

    def prepare(self, image: Image.Image | None) -> Prepared:
        """The tokens and the picture as the processor makes them."""
        if image is None and self._texts is None:
            raise FamilyError("this model reads one picture per row, and a row has none; drop the row")
        given: dict[str, Any] = {} if image is None else {"images": [_thicken(image)]}
        if self._texts is not None:
            given["text"] = [self._texts[image is not None]]
        made = dict(self._process(given))
        if self._texts is None and not self._writes_prompt:
            return Prepared(tokens=[], placement=[], image=made)
        tokens: list[int] = made["input_ids"][0].tolist()
        along = {
            name: value[0].tolist()
            for name, value in made.items()
            if name not in _OWN and getattr(value, "shape", None) == (1, len(tokens))
        }
        picture = {name: value for name, value in made.items() if name not in (*_OWN, *along)} if image else None
        if self._ends_by_itself(tokens):
            tokens, along = tokens[:-1], {name: values[:-1] for name, values in along.items()}
        placement = [token == self.image_token_id for token in tokens]
        return Prepared(tokens=tokens, placement=placement, along=along, image=picture)

    def assemble(self, prepared: Sequence[Prepared], placement: torch.Tensor) -> dict[str, Any]:
        """What the rows' pictures became, joined; what is smaller in a further dimension is filled up with zeros."""
        pictures = [one.image for one in prepared if one.image]
        if not pictures:
            return {}
        empty = {name: _empty_like(value) for name, value in pictures[0].items()}
        rows = [one.image or empty for one in prepared if one.image or self.is_by_row]
        # An argument of tiles is absent for a picture that has none.
        names = dict.fromkeys(name for row in rows for name in row)
        return {
            name: _join([row[name] for row in rows if name in row], self.image_dtype, is_strip=name in self.strips)
            for name in names
        }

    def _process(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the processor makes of one row. What it refuses, it refuses in words that know of no row."""
        try:
            made: Mapping[str, Any] = self.processor(**given, return_tensors="pt")
        except (ValueError, ArithmeticError, IndexError) as error:
            kind, said = type(self.processor).__name__, str(error).partition("\n")[0]
            if "images" not in given:
                raise FamilyError(f"{kind} takes no row without a picture ({said}); drop the row") from error
            size = " x ".join(map(str, given["images"][0].size))
            raise FamilyError(
                f"{kind} cannot prepare a picture of {size} pixels ({said}); enlarge or cut the picture, or drop the row"
            ) from error
        return made

    def _ends_by_itself(self, tokens: Sequence[int]) -> bool:
        """Whether the tokenizer ended the prompt. An encoder is used to that; a decoder would stop there."""
        return not self._encodes_prompt and len(tokens) > 1 and tokens[-1] == self._eos

    def _render(self, opening: Opening, instruction: str, form: str, has_image: bool) -> str:
        text = [{"type": "text", "text": instruction}]
        if getattr(self.processor, "chat_template", None):
            turn = {"role": "user", "content": [{"type": "image"}, *text] if has_image else text}
            shown: str = self.processor.apply_chat_template([turn], tokenize=False, add_generation_prompt=True)
        else:
            shown = form.format(
                image=self.image_token if has_image and self.image_token else "", instruction=instruction
            )
        bos = opening.tokenizer.bos_token
        begins = bool(bos) and opening.tokenizer.encode("")[:1] == [opening.tokenizer.bos_token_id]
        return shown.removeprefix(bos) if begins else shown  # the tokenizer puts one there itself


def _configure(images: Any, opening: Opening) -> None:
    """What the configuration asks for that this processor can do; a key it has no place for is an error, not a wish."""
    wanted = opening.preprocessing
    sizes = {name: value for name in ("min_pixels", "max_pixels") if (value := getattr(wanted, name)) is not None}
    unplaced = [name for name in ("base_size", "image_size", "crop_mode") if getattr(wanted, name) is not None]
    if sizes and not hasattr(images, "merge_size"):
        unplaced += sizes
    if wanted.resampling != "exact":
        raise FamilyError(
            f"`data.preprocessing.resampling` has no place in {type(images).__name__}, which resizes pages itself; remove it"
        )
    if unplaced:
        raise FamilyError(
            f"`data.preprocessing.{unplaced[0]}` has no place in {type(images).__name__}, which decides the size itself; "
            "remove it, or change the size in the model's preprocessor_config.json"
        )
    if sizes:
        edges = {"min_pixels": "shortest_edge", "max_pixels": "longest_edge"}
        images.size = {**dict(images.size or {}), **{edges[name]: value for name, value in sizes.items()}}
        for name, value in sizes.items():
            setattr(images, name, value)
    if wanted.normalize is not None:
        images.do_normalize = wanted.normalize
    for name in ("image_mean", "image_std"):
        if getattr(wanted, name) is not None:
            setattr(images, name, list(getattr(wanted, name)))


def _read_normalisation(images: Any) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """What is taken from pixels in 0..1 and what they are divided by; None for both where nothing fixed is.

    One that normalises and has no mean standardises each picture by itself.
    """
    if getattr(images, "do_normalize", False):
        mean, std = getattr(images, "image_mean", None), getattr(images, "image_std", None)
        return (None, None) if mean is None or std is None else (_read_channels(mean), _read_channels(std))
    return ((0.0,) * 3, (1.0,) * 3) if getattr(images, "do_rescale", True) else (None, None)


def _read_channels(value: Any) -> tuple[float, ...]:
    """One number for each channel; a number alone stands for all of them, as in the processors themselves."""
    numbers = list(value) if isinstance(value, list | tuple) else [value] * 3
    if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
        raise FamilyError(f"the processor's mean or standard deviation is {value!r:.100}, expected three numbers")
    if len(numbers) not in (1, 3):
        raise FamilyError(f"the processor normalises {len(numbers)} channels ({value!r:.100}), expected three")
    return tuple(map(float, numbers)) * (3 // len(numbers))


def _read_packing(images: Any) -> Packing | None:
    numbers = [getattr(images, name, None) for name in ("patch_size", "temporal_patch_size", "merge_size")]
    if not all(isinstance(number, int) for number in numbers):
        return None
    patch, temporal, merge = numbers
    return Packing(patch=patch, temporal=temporal, merge=merge)  # type: ignore[arg-type]


def _find_image_token_id(opening: Opening) -> int | None:
    """As the configuration numbers it, else as the processor names it; None for a family without one."""
    path = opening.directory / "config.json"
    content: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    # A processor may call the mark in the text so, which is another token than the one that features are placed at.
    named = (
        *(content.get(key) for key in IMAGE_TOKEN_KEYS),
        *(getattr(opening.processor, k, None) for k in IMAGE_TOKEN_KEYS),
    )
    for found in named:
        if isinstance(found, int):
            return found
    token = getattr(opening.processor, "image_token", None)
    return opening.tokenizer.convert_tokens_to_ids(token) if isinstance(token, str) else None


def _thicken(image: Image.Image) -> Image.Image:
    """A picture of five rows or more: releases before 5 take fewer for its channels, and its columns for the rows."""
    if image.height > _CHANNELS:
        return image
    times = _CHANNELS // image.height + 1
    return image.resize((image.width * times, image.height * times))


def _empty_like(value: Any) -> Any:
    return value.new_zeros(value.shape) if hasattr(value, "new_zeros") else value


def _join(values: Sequence[Any], dtype: torch.dtype, *, is_strip: bool) -> Any:
    """One after the other along the first dimension, a strip's along the last; in the others, the largest decides."""
    import torch
    from torch.nn.functional import pad

    if not isinstance(values[0], torch.Tensor):
        return [item for value in values for item in (value if isinstance(value, list | tuple) else [value])]
    if is_strip:
        return torch.cat(list(values), dim=-1).to(dtype)
    largest = [max(sizes) for sizes in zip(*(value.shape[1:] for value in values), strict=True)]
    filled = [
        pad(
            value,
            [
                n
                for have, want in zip(reversed(value.shape[1:]), reversed(largest), strict=True)
                for n in (0, want - have)
            ],
        )
        for value in values
    ]
    joined = torch.cat(filled)
    return joined.to(dtype) if joined.is_floating_point() else joined
