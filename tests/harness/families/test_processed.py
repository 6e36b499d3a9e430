"""Pictures by the model's own processor: what the configuration may change, and how rows are joined."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from preflight_ocr.harness.config.schema import Preprocessing
from preflight_ocr.harness.families import FamilyError, Opening, Prepared
from preflight_ocr.harness.families.processed import ProcessorIntake, _read_channels
from preflight_ocr.harness.training.images import open_image

BOS, EOS, IMAGE = 1, 2, 9
WORDS = {"<s>": BOS, "</s>": EOS, "<image>": IMAGE}
PAGE = Image.new("RGB", (20, 10), "white")


class Words:
    """A tokenizer of words; unknown ones are 5. It may put BOS in front and EOS behind by itself."""

    bos_token, bos_token_id, eos_token_id = "<s>", BOS, EOS

    def __init__(self, *, puts_bos=False, puts_eos=False):
        self.front, self.back = [BOS] * puts_bos, [EOS] * puts_eos

    def encode(self, text):
        spaced = text.replace("<", " <").replace(">", "> ")
        return [*self.front, *(WORDS.get(word, 5) for word in spaced.split()), *self.back]

    def convert_ids_to_tokens(self, number):
        return {number: word for word, number in WORDS.items()}[number]

    def convert_tokens_to_ids(self, token):
        return WORDS[token]


class Processor:
    """Three tokens for a picture, and one view of it as `views` shapes it."""

    image_token = "<image>"

    def __init__(self, tokenizer, *, template=None, views=(1, 3, 2, 2), refuses=None):
        self.tokenizer, self.chat_template, self.views, self.refuses = tokenizer, template, views, refuses
        self.image_processor = SimpleNamespace(do_normalize=True, image_mean=[0.1] * 3, image_std=[0.2] * 3)
        self.seen = []

    def apply_chat_template(self, turns, tokenize, add_generation_prompt):
        parts = [part.get("text", "<image>") for part in turns[0]["content"]]
        return self.chat_template.format(" ".join(parts))

    def __call__(self, *, text=None, images=None, return_tensors):
        if self.refuses is not None:
            raise self.refuses
        self.seen.append({"text": text, "sizes": [image.size for image in images or ()]})
        made = {}
        if text is not None:
            ids = self.tokenizer.encode(text[0].replace("<image>", "<image>" * 3))
            made |= {"input_ids": torch.tensor([ids]), "token_type_ids": torch.tensor([[7] * len(ids)])}
        if images:
            made |= {"pixel_values": torch.ones(self.views), "sizes": torch.tensor([[20, 10]]), "names": ["page"]}
        return made


def open_intake(tokenizer=None, *, processor=None, prompt=None, preprocessing=None, tmp_path=None, **declared):
    tokenizer = tokenizer or Words()
    return ProcessorIntake(
        Opening(
            directory=tmp_path or Path(__file__).parent,  # where no config.json is
            preprocessing=Preprocessing(**(preprocessing or {})),
            tokenizer=tokenizer,
            processor=processor or Processor(tokenizer),
            prompt=prompt,
            image_dtype=torch.bfloat16,
        ),
        instruction="read",
        **declared,
    )


NOWHERE = torch.zeros(1, 1, dtype=torch.bool)


@pytest.mark.parametrize("name", ["qwen2_vl", "gemma3", "llava"])
def test_mean_and_std_of_the_configuration_take_effect(open_collator, tmp_path, name):
    path = tmp_path / "red.png"
    Image.new("RGB", (120, 90), (255, 0, 0)).save(path)
    asked = {"image_mean": [0.5, 0.25, 0.0], "image_std": [0.5, 0.25, 1.0]}
    collator = open_collator(name, preprocessing=asked)
    pixels = collator([{"image_path": str(path), "text": "x"}])["pixel_values"].float()
    channels = pixels.reshape(len(pixels), 3, -1).transpose(0, 1).flatten(1)
    assert channels.mean(1).tolist() == pytest.approx([1.0, -1.0, 0.0], abs=1e-3)
    assert (collator.intake.mean, collator.intake.std) == ((0.5, 0.25, 0.0), (0.5, 0.25, 1.0))


@pytest.mark.parametrize("name", ["qwen2_vl", "gemma3", "llava"])
def test_without_normalising_pixels_stay_between_zero_and_one(open_collator, paint, name):
    collator = open_collator(name, preprocessing={"normalize": False})
    pixels = collator([{"image_path": paint(120, 90), "text": "x"}])["pixel_values"]
    assert 0 <= float(pixels.min()) < 0.3 and 0.8 < float(pixels.max()) <= 1
    assert (collator.intake.mean, collator.intake.std) == ((0.0,) * 3, (1.0,) * 3)


def test_the_least_and_most_pixels_of_the_configuration_take_effect(open_collator, paint):
    row = {"image_path": paint(600, 400), "text": "x"}
    small = {"image_path": paint(40, 30), "text": "x"}

    def count(row, **preprocessing):
        grid = open_collator("qwen2_vl", preprocessing=preprocessing)([row])["image_grid_thw"]
        return int(grid.prod()) * 14**2

    assert count(row, max_pixels=28 * 28 * 9) <= 28 * 28 * 9 < count(row)
    assert count(small, min_pixels=28 * 28 * 20) >= 28 * 28 * 20 > count(small)


@pytest.mark.parametrize(
    ("key", "value"), [("base_size", 448), ("image_size", 448), ("crop_mode", True), ("resampling", "fast")]
)
def test_a_key_without_a_place_is_an_error_that_names_it(open_collator, key, value):
    with pytest.raises(FamilyError, match=rf"`data\.preprocessing\.{key}` has no place in .*remove it"):
        open_collator("qwen2_vl", preprocessing={key: value})


def test_limits_on_pixels_have_no_place_where_every_page_has_one_size(open_collator):
    with pytest.raises(FamilyError, match=r"`data\.preprocessing\.max_pixels` has no place"):
        open_collator("llava", preprocessing={"max_pixels": 10_000})


def test_a_tokenizer_in_place_of_a_processor_is_an_error_that_says_what_to_fetch():
    with pytest.raises(FamilyError, match=r"a Words was loaded; fetch preprocessor_config\.json"):
        open_intake(processor=Words())


@pytest.mark.parametrize(
    ("settings", "mean", "std"),
    [
        ({"do_normalize": True, "image_mean": [0.1] * 3, "image_std": [0.2] * 3}, (0.1,) * 3, (0.2,) * 3),
        ({"do_normalize": False, "do_rescale": True}, (0.0,) * 3, (1.0,) * 3),
        ({"do_normalize": False, "do_rescale": False}, None, None),
        ({"do_normalize": True}, None, None),  # each picture by its own mean
        ({"do_normalize": True, "image_mean": None, "image_std": None, "do_rescale": True}, None, None),
    ],
)
def test_what_is_done_to_pixels_is_read_from_the_processor(settings, mean, std):
    processor = Processor(Words())
    processor.image_processor = SimpleNamespace(**settings)
    intake = open_intake(processor=processor)
    assert (intake.mean, intake.std) == (mean, std)


def test_a_prompt_holds_the_picture_and_the_instruction():
    processor = Processor(Words())
    prepared = open_intake(processor=processor, form="look {image} and {instruction}").prepare(PAGE)
    assert prepared.tokens == [5, IMAGE, IMAGE, IMAGE, 5, 5]
    assert prepared.placement == [False, True, True, True, False, False]
    assert prepared.along == {"token_type_ids": [7] * 6}
    assert set(prepared.image) == {"pixel_values", "sizes", "names"}


def test_a_row_without_a_picture_has_the_instruction_alone():
    processor = Processor(Words())
    prepared = open_intake(processor=processor).prepare(None)
    assert (prepared.tokens, prepared.image) == ([5], None)
    assert processor.seen == [{"text": ["read"], "sizes": []}]


def test_a_chat_template_wins_over_the_form():
    processor = Processor(Words(), template="user {} assistant")
    open_intake(processor=processor, prompt="what", form="{image} unused {instruction}").prepare(PAGE)
    assert processor.seen[0]["text"] == ["user <image> what assistant"]


@pytest.mark.parametrize("puts_bos", [True, False])
def test_a_sequence_begins_with_one_bos_whoever_puts_it_there(puts_bos):
    tokenizer = Words(puts_bos=puts_bos)
    processor = Processor(tokenizer, template="<s> {}")
    assert open_intake(tokenizer, processor=processor).prepare(PAGE).tokens.count(BOS) == 1


def test_an_eos_behind_the_prompt_is_taken_off_with_what_runs_along_it():
    tokenizer = Words(puts_eos=True)
    prepared = open_intake(tokenizer).prepare(PAGE)
    assert prepared.tokens == [IMAGE, IMAGE, IMAGE, 5]
    assert [len(values) for values in (prepared.placement, *prepared.along.values())] == [4, 4]


def test_an_encoders_prompt_keeps_its_eos():
    assert open_intake(Words(puts_eos=True), encodes_prompt=True).prepare(PAGE).tokens[-1] == EOS


def test_a_picture_alone_makes_no_tokens():
    processor = Processor(Words())
    prepared = open_intake(processor=processor, form=None).prepare(PAGE)
    assert (prepared.tokens, prepared.placement) == ([], [])
    assert processor.seen[0]["text"] is None
    with pytest.raises(FamilyError, match="a row has none; drop the row"):
        open_intake(form=None).prepare(None)
    with pytest.raises(FamilyError, match=r"`data\.prompt` has no place"):
        open_intake(form=None, prompt="read this")


def test_rows_are_joined_and_filled_up_with_zeros_in_the_dtype_of_the_weights():
    intake = open_intake()
    rows = [Prepared(tokens=[], placement=[], image=image) for image in (picture(1, 3, 2, 4), picture(2, 3, 5, 1))]
    joined = intake.assemble(rows, NOWHERE)
    assert joined["pixel_values"].shape == (3, 3, 5, 4)
    assert joined["pixel_values"].dtype == torch.bfloat16
    assert joined["pixel_values"].float().sum(dim=(1, 2, 3)).tolist() == [24, 15, 15]
    assert joined["sizes"].tolist() == [[1, 2], [1, 2]]
    assert joined["sizes"].dtype == torch.int64
    assert joined["names"] == ["page", "page"]


def test_the_patches_of_a_strip_are_joined_side_by_side():
    rows = [Prepared(tokens=[], placement=[], image=image) for image in (picture(1, 3, 2, 4), picture(1, 3, 2, 6))]
    joined = open_intake(strips=frozenset({"pixel_values"})).assemble(rows, NOWHERE)
    assert joined["pixel_values"].shape == (1, 3, 2, 10)
    assert joined["pixel_values"].dtype == torch.bfloat16
    assert joined["sizes"].tolist() == [[1, 2], [1, 2]]


def picture(*shape):
    return {"pixel_values": torch.ones(shape), "sizes": torch.tensor([[1, 2]]), "names": ["page"]}


def test_a_row_without_a_picture_takes_no_place_unless_the_first_dimension_counts_rows():
    bare, full = (Prepared(tokens=[], placement=[], image=image) for image in (None, picture(1, 3, 2, 2)))
    assert len(open_intake().assemble([bare, full], NOWHERE)["pixel_values"]) == 1
    by_row = open_intake(is_by_row=True).assemble([bare, full], NOWHERE)["pixel_values"]
    assert by_row.float().sum(dim=(1, 2, 3)).tolist() == [0, 12]
    assert open_intake(is_by_row=True).assemble([bare, bare], NOWHERE) == {}


def test_an_argument_that_a_row_lacks_is_joined_from_the_others():
    tiled = picture(1, 3, 2, 2) | {"tiles": torch.ones(4, 3, 2, 2)}
    rows = [Prepared(tokens=[], placement=[], image=image) for image in (picture(1, 3, 2, 2), tiled)]
    assert len(open_intake().assemble(rows, NOWHERE)["tiles"]) == 4


@pytest.mark.parametrize("error", [ValueError("too thin\nand more"), ZeroDivisionError("by zero"), IndexError("range")])
def test_what_the_processor_refuses_is_said_with_the_size_and_what_to_do(error):
    intake = open_intake(processor=Processor(Words(), refuses=error))
    with pytest.raises(
        FamilyError, match=r"Processor cannot prepare a picture of 20 x 10 pixels \((too thin|by zero|range)\)"
    ):
        intake.prepare(PAGE)
    with pytest.raises(FamilyError, match=r"takes no row without a picture .*; drop the row"):
        intake.prepare(None)


def test_a_fault_of_the_processor_is_not_called_a_refusal():
    with pytest.raises(AttributeError):
        open_intake(processor=Processor(Words(), refuses=AttributeError("no such thing"))).prepare(PAGE)


@pytest.mark.parametrize("height", [1, 2, 3, 4])
def test_a_page_of_few_rows_is_enlarged_so_that_none_is_taken_for_a_channel(height):
    processor = Processor(Words())
    open_intake(processor=processor).prepare(Image.new("RGB", (30, height)))
    ((width, rows),) = processor.seen[0]["sizes"]
    assert rows > 4 and width * height == 30 * rows


def test_the_configuration_says_which_token_stands_for_the_picture(tmp_path):
    (tmp_path / "config.json").write_text('{"image_token_index": 9}', encoding="utf-8")
    processor = Processor(Words())
    processor.image_token_id = 1
    assert open_intake(processor=processor, tmp_path=tmp_path).image_token_id == 9
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    assert open_intake(processor=processor, tmp_path=tmp_path).image_token_id == 1


def test_pages_as_they_are_opened_are_what_the_processor_gets(paint):
    processor = Processor(Words())
    open_intake(processor=processor).prepare(open_image(paint(40, 30)))
    assert processor.seen[0]["sizes"] == [(40, 30)]


@pytest.mark.parametrize(
    ("given", "expected"), [(0.5, (0.5,) * 3), ([0.5], (0.5,) * 3), ((0.1, 0.2, 0.3), (0.1, 0.2, 0.3))]
)
def test_one_number_stands_for_every_channel(given, expected):
    assert _read_channels(given) == expected


@pytest.mark.parametrize("given", [[0.5, 0.5], [0.5] * 4, [], "half", [None] * 3, {"r": 1}])
def test_channels_of_another_number_or_form_are_an_error(given):
    with pytest.raises(FamilyError, match="expected three"):
        _read_channels(given)
