from __future__ import annotations

import json
import shutil

import pytest
import torch
import transformers
from PIL import Image
from transformers import AutoTokenizer

from preflight_ocr.fixtures.corpus.models import MODELS
from preflight_ocr.harness.config.schema import Preprocessing
from preflight_ocr.harness.families import FAMILIES, FamilyError, Opening, deepseek_ocr
from preflight_ocr.harness.families.dots_ocr import DotsIntake, read_geometry
from preflight_ocr.harness.training.images import open_image

MODEL = MODELS / "dots_ocr"


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(MODEL)


@pytest.fixture
def opening(tokenizer):
    def opening(directory=MODEL, *, prompt=None, dtype=torch.float32, **preprocessing):
        return Opening(
            directory=directory,
            preprocessing=Preprocessing(**preprocessing),
            tokenizer=tokenizer,
            processor=tokenizer,
            prompt=prompt,
            image_dtype=dtype,
        )

    return opening


@pytest.fixture
def copy(tmp_path):
    """A copy of the model's small files in which one JSON file was changed."""

    def copy(name, change):
        directory = tmp_path / "model"
        shutil.copytree(MODEL, directory, ignore=shutil.ignore_patterns("*.safetensors", "*.py", "__pycache__"))
        content = json.loads((directory / name).read_text(encoding="utf-8"))
        change(content)
        (directory / name).write_text(json.dumps(content), encoding="utf-8")
        return directory

    return copy


@pytest.mark.parametrize("size", [(1, 1), (100, 60), (333, 45), (60, 700), (1240, 1754), (28, 28)])
def test_patches_and_grid_are_those_of_the_models_own_image_processor(opening, paint, size):
    page = open_image(paint(*size))
    # The class that preprocessor_config.json names; PIL in both releases, as torchvision scales a little differently.
    theirs = transformers.AutoImageProcessor.from_pretrained(MODEL, use_fast=False)
    try:
        expected = theirs(images=[page], return_tensors="pt", input_data_format="channels_last")
    except ValueError as error:
        if "must be larger than factor" not in str(error):
            raise
        pytest.skip(f"transformers {transformers.__version__} takes no page this thin: {error}")
    intake = DotsIntake(opening())
    ours = intake.assemble([intake.prepare(page)], torch.zeros(1, 1, dtype=torch.bool))
    assert torch.equal(ours["image_grid_thw"], expected["image_grid_thw"])
    assert torch.allclose(ours["pixel_values"], expected["pixel_values"], atol=1e-5)


def test_patches_have_the_dtype_of_the_vision_weights(opening, paint):
    intake = DotsIntake(opening(dtype=torch.bfloat16))
    made = intake.assemble([intake.prepare(open_image(paint(100, 60)))], torch.zeros(1, 1, dtype=torch.bool))
    assert made["pixel_values"].dtype == torch.bfloat16


def test_a_page_has_a_placeholder_for_each_block_of_patches(opening, paint):
    intake = DotsIntake(opening())
    prepared = intake.prepare(open_image(paint(100, 60)))
    made = intake.assemble([prepared], torch.zeros(1, 1, dtype=torch.bool))
    assert (len(made["pixel_values"]), made["image_grid_thw"].tolist()) == (32, [[1, 4, 8]])
    assert sum(prepared.placement) == 32 // 4
    assert prepared.tokens.count(DotsIntake(opening()).image_token_id) == 8


def test_the_prompt_is_that_of_the_template_beside_the_processor(opening, tokenizer, paint):
    prepared = DotsIntake(opening()).prepare(open_image(paint(28, 28)))
    read = tokenizer.decode([t for t, placed in zip(prepared.tokens, prepared.placement, strict=True) if not placed])
    assert read == " <|img|><|endofimg|>Extract the text content from this image.<|assistant|>"


def test_a_row_without_a_page_is_asked_through_the_same_template(opening, tokenizer):
    prepared = DotsIntake(opening(prompt="Hello?")).prepare(None)
    assert (prepared.image, any(prepared.placement)) == (None, False)
    assert tokenizer.decode(prepared.tokens) == "<|user|>Hello?<|endofuser|><|assistant|>"


def test_a_batch_without_pages_has_no_image_arguments_and_one_with_some_only_theirs(opening, paint):
    intake = DotsIntake(opening())
    bare, page = intake.prepare(None), intake.prepare(open_image(paint(100, 60)))
    nowhere = torch.zeros(2, 1, dtype=torch.bool)
    assert intake.assemble([bare, bare], nowhere) == {}
    mixed = intake.assemble([bare, page, bare, page], nowhere)
    assert mixed["image_grid_thw"].tolist() == [[1, 4, 8]] * 2
    assert len(mixed["pixel_values"]) == 64


def test_the_configuration_wins_over_the_models_files(opening):
    geometry = read_geometry(opening(min_pixels=4000, max_pixels=9000, image_mean=(0.1, 0.2, 0.3)))
    assert (geometry.min_pixels, geometry.max_pixels, geometry.mean) == (4000, 9000, (0.1, 0.2, 0.3))
    plain = read_geometry(opening(normalize=False))
    assert (plain.mean, plain.std) == ((0.0,) * 3, (1.0,) * 3)


def test_max_pixels_makes_pages_smaller(opening):
    page = Image.new("RGB", (1000, 800))
    small, large = (DotsIntake(opening(max_pixels=most)).prepare(page) for most in (28 * 28 * 16, 28 * 28 * 64))
    assert 0 < sum(small.placement) <= 16 < sum(large.placement) <= 64


@pytest.mark.parametrize("key", ["base_size", "image_size", "crop_mode"])
def test_a_key_without_a_place_is_refused_with_the_one_that_has_one(opening, key):
    with pytest.raises(FamilyError, match=rf"data\.preprocessing\.{key}.*max_pixels"):
        DotsIntake(opening(**{key: 128}))


def test_limits_that_contradict_each_other_are_refused(opening):
    with pytest.raises(FamilyError, match="min_pixels is 9000 and max_pixels 4000"):
        DotsIntake(opening(min_pixels=9000, max_pixels=4000))
    with pytest.raises(FamilyError, match="at least 784"):
        DotsIntake(opening(min_pixels=100))


def test_a_template_without_the_image_token_is_refused(opening, copy):
    directory = copy("chat_template.json", lambda c: c.update(chat_template="{{ messages[0]['role'] }}"))
    with pytest.raises(FamilyError, match=r"chat_template\.json .* puts no <\|imgpad\|>"):
        DotsIntake(opening(directory))


def test_a_file_that_lacks_a_number_is_named_with_it(opening, copy):
    directory = copy("preprocessor_config.json", lambda c: c.pop("merge_size"))
    with pytest.raises(FamilyError, match=r"preprocessor_config\.json has no 'merge_size'"):
        DotsIntake(opening(directory))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("image_std", [0.5, 0.5]),
        ("image_std", [0.5, 0.5, 0]),
        ("image_mean", 2**64),
        ("image_mean", ["a"] * 3),
        ("merge_size", 0),
        ("patch_size", "14"),
        ("max_pixels", None),
    ],
)
def test_a_number_of_another_form_is_named_with_its_file(opening, copy, key, value):
    directory = copy("preprocessor_config.json", lambda c: c.update({key: value}))
    with pytest.raises(FamilyError, match=rf"preprocessor_config\.json: .*{key}"):
        DotsIntake(opening(directory))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("image_std", [0.5, 0.5]),
        ("image_std", [0.5] * 4),
        ("image_mean", 2**64),
        ("patch_size", -1),
        ("image_token", 5),
    ],
)
def test_deepseek_ocrs_numbers_are_held_to_the_same(tmp_path, key, value):
    (tmp_path / "processor_config.json").write_text(json.dumps({key: value}), encoding="utf-8")
    with pytest.raises(FamilyError, match=rf"processor_config\.json: .*{key}"):
        deepseek_ocr.read_geometry(tmp_path, Preprocessing())


def test_an_image_token_that_the_tokenizer_lacks_is_refused(opening, copy):
    directory = copy("config.json", lambda c: c.pop("image_token_id"))
    with pytest.raises(FamilyError, match="gives None as image_token_id"):
        DotsIntake(opening(directory))


def test_the_family_is_recognised_by_its_own_name_and_arguments():
    recognises = FAMILIES["dots_ocr"].recognises
    names = frozenset({"input_ids", "pixel_values", "image_grid_thw"})
    assert recognises(names, {"model_type": "dots_ocr"})
    assert not recognises(names, {"model_type": "qwen2_vl"})
    assert not recognises(frozenset({"input_ids"}), {"model_type": "dots_ocr"})


def test_the_token_that_ends_generation_stays_characters_when_it_is_typed(open_collator):
    collator = open_collator("dots_ocr")
    labels = collator([{"text": "a<|endofassistant|><|imgpad|>b"}])["labels"][0]
    ends = {collator.tokenizer.convert_tokens_to_ids(token) for token in ("<|endofassistant|>", "<|imgpad|>")}
    assert not ends & set(labels.tolist())
    assert collator.tokenizer.decode(labels[labels >= 0][:-1]) == "a<|endofassistant|><|imgpad|>b"
