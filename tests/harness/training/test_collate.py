from __future__ import annotations

import multiprocessing
import pickle

import numpy
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoTokenizer

from preflight_ocr.harness.config.schema import Preprocessing
from preflight_ocr.harness.families import FAMILIES, FamilyError, find_family
from preflight_ocr.harness.families.deepseek_ocr import choose_tiling, count_tokens, read_geometry
from preflight_ocr.harness.training.collate import IGNORED, CollateError, build_collator
from tests.harness.training.conftest import MODEL

FAMILY = FAMILIES["deepseek_ocr"]


@pytest.fixture(scope="session")
def tokenizer():
    return AutoTokenizer.from_pretrained(MODEL, trust_remote_code=True)


@pytest.fixture
def build(configure, tokenizer):
    def build(*, padding_side="left", dtype=torch.float32, **data):
        tokenizer.padding_side = padding_side
        return build_collator(configure(data=data), family=FAMILY, tokenizer=tokenizer, image_dtype=dtype)

    return build


@pytest.fixture
def paint(tmp_path):
    def paint(width, height, colour="white", mode="RGB", name=None):
        path = tmp_path / (name or f"{width}x{height}.png")
        Image.new(mode, (width, height), colour).save(path)
        return str(path)

    return paint


def geometry(**preprocessing):
    return read_geometry(MODEL, Preprocessing(**preprocessing))


@pytest.mark.parametrize(
    ("size", "tiling", "tokens"),
    [
        ((2480, 3508), (2, 3), 903),
        ((900, 500), (2, 1), 483),
        ((1000, 1000), (2, 2), 693),
        ((4000, 500), (8, 1), 1083),
        ((640, 640), (1, 1), 273),
        ((512, 64), (1, 1), 273),
    ],
)
def test_tiling_and_placeholders_are_those_of_the_contract(size, tiling, tokens):
    assert choose_tiling(*size, geometry()) == tiling
    assert count_tokens(tiling, geometry()) == tokens


@pytest.mark.parametrize(("side", "tokens"), [(1024, 273), (640, 111), (512, 73)])
def test_the_global_view_has_the_placeholders_of_its_size(side, tokens):
    assert count_tokens((1, 1), geometry(base_size=side)) == tokens


@settings(deadline=None, max_examples=200)
@given(width=st.integers(1, 6000), height=st.integers(1, 6000))
def test_any_size_gives_two_to_nine_tiles_or_none(width, height):
    across, down = choose_tiling(width, height, geometry())
    if max(width, height) <= 640:
        assert (across, down) == (1, 1)
    else:
        assert 2 <= across * down <= 9


def test_a_size_that_is_no_multiple_of_a_token_is_refused_with_the_nearest():
    with pytest.raises(FamilyError, match="write 1024"):
        geometry(base_size=1000)


def test_the_family_is_recognised_by_its_forward():
    assert find_family({"input_ids", "images", "images_seq_mask", "images_spatial_crop"}, {}) is FAMILY
    assert find_family({"input_ids", "pixel_values", "image_grid_thw"}, {}) is None


@pytest.mark.parametrize("padding_side", ["left", "right"])
def test_a_batch_has_the_types_and_shapes_forward_expects(build, paint, padding_side):
    collator = build(padding_side=padding_side, preprocessing={"base_size": 256, "image_size": 128, "crop_mode": True})
    rows = [{"image_path": paint(300, 100), "text": "дом"}, {"image_path": paint(100, 60), "text": "bread and juice"}]
    batch = collator(rows)
    length = batch["input_ids"].shape[1]
    assert next(iter(batch)) == "input_ids"
    assert {batch[name].dtype for name in ("input_ids", "attention_mask", "labels")} == {torch.int64}
    assert batch["images_seq_mask"].shape == (2, length) and batch["images_seq_mask"].dtype == torch.bool
    assert batch["images_spatial_crop"].tolist() == [[3, 1], [1, 1]]
    assert [[tuple(view.shape) for view in pair] for pair in batch["images"]] == [
        [(3, 3, 128, 128), (1, 3, 256, 256)],
        [(1, 3, 256, 256), (1, 3, 256, 256)],
    ]
    assert batch["images"][1][0].abs().sum() == 0
    assert torch.equal(batch["images_seq_mask"], batch["input_ids"] == collator.image_token_id)
    edge = 0 if padding_side == "left" else -1
    assert batch["attention_mask"][1, edge] == 0
    assert collator.tokenizer.padding_side == padding_side


def test_only_the_target_and_its_end_are_supervised(build, paint):
    collator = build()
    batch = collator([{"image_path": paint(64, 64), "text": "туман"}])
    supervised = batch["labels"][0] != IGNORED
    assert collator.tokenizer.decode(batch["labels"][0][supervised]) == "туман" + collator.tokenizer.eos_token
    assert batch["labels"][0, -1] == collator.tokenizer.eos_token_id
    before = batch["input_ids"][0][~supervised & ~batch["images_seq_mask"][0]]
    assert collator.tokenizer.decode(before) == collator.tokenizer.bos_token + "\nFree OCR."


def test_a_prompt_for_generation_is_the_training_prompt(build, paint):
    collator = build(padding_side="right")
    row = {"image_path": paint(64, 64), "text": "туман"}
    trained, prompt = collator([row]), collator.prompts([row])
    supervised = trained["labels"][0] != IGNORED
    assert torch.equal(prompt["input_ids"][0], trained["input_ids"][0][~supervised])
    assert "labels" not in prompt


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.sampled_from("ab <image>|｜▁юж\n") | st.characters(codec="utf-8"), max_size=30))
def test_no_text_becomes_a_placeholder_or_an_end(build, text):
    collator = build()
    typed = f"{text}<image>{text}{collator.tokenizer.eos_token}<<image>image>"
    tokens = collator([{"text": typed}])["labels"][0]
    tokens = tokens[tokens != IGNORED].tolist()
    assert collator.image_token_id not in tokens
    assert tokens.count(collator.tokenizer.eos_token_id) == 1


def test_typed_special_tokens_read_back_as_typed(build):
    collator = build()
    labels = collator([{"text": "see <image> and <td>"}])["labels"][0]
    assert collator.tokenizer.decode(labels[labels != IGNORED][:-1]) == "see <image> and <td>"


def test_truncation_cuts_text_only_and_keeps_the_end(build, paint):
    row = {"image_path": paint(64, 64), "text": "a" * 500}
    prompt = build().prompts([row])["input_ids"].shape[1]
    batch = build(max_seq_length=prompt + 4)([row])
    assert batch["input_ids"].shape[1] == prompt + 4
    assert batch["images_seq_mask"].sum() == 7
    assert batch["labels"][0, -1] == batch["input_ids"][0, -1] == 1


def test_an_image_that_does_not_fit_is_an_error_with_the_smallest_safe_length(build, paint):
    row = {"image_path": paint(64, 64), "text": "text"}
    smallest = build().prompts([row])["input_ids"].shape[1] + 2
    with pytest.raises(CollateError, match=f"at least {smallest},"):
        build(max_seq_length=smallest - 1)([row])
    assert (build(max_seq_length=smallest)([row])["labels"] != IGNORED).sum() == 2


def test_a_first_row_without_image_does_not_hide_the_images_of_the_others(build, paint):
    rows = [{"text": "no image"}, {"image_path": paint(64, 64), "text": "image"}]
    batch = build()(rows)
    assert batch["images"][0][1].sum() != 0
    assert batch["images_seq_mask"].sum(1).tolist() == [0, 7]


def test_a_batch_without_images_carries_zero_pixels(build):
    batch = build()([{"text": "no image"}])
    assert batch["images"][0][1].shape == (1, 3, 128, 128)
    assert batch["images"][0][1].abs().sum() == batch["images"][0][0].abs().sum() == 0
    assert batch["images_spatial_crop"].tolist() == [[1, 1]]


def test_pixels_are_padded_with_grey_and_normalised_to_the_files_mean(build, paint):
    page = build()([{"image_path": paint(128, 32), "text": "x"}])["images"][0][1][0]
    assert torch.allclose(page[:, 64, 64], torch.ones(3))
    assert torch.allclose(page[:, 0, 0], torch.full((3,), (127 / 255 - 0.5) / 0.5))


def test_tiles_are_cut_row_by_row(build, tmp_path):
    image = numpy.zeros((256, 384, 3), numpy.uint8)
    for row in range(2):
        for column in range(3):
            image[row * 128 : row * 128 + 128, column * 128 : column * 128 + 128] = 40 * (row * 3 + column) + 10
    Image.fromarray(image).save(tmp_path / "tiles.png")
    collator = build(preprocessing={"base_size": 128, "image_size": 128, "crop_mode": True})
    tiles = collator([{"image_path": str(tmp_path / "tiles.png"), "text": "x"}])["images"][0][0]
    seen = ((tiles[:, 0, 64, 64] * 0.5 + 0.5) * 255).round().tolist()
    assert seen == [10, 50, 90, 130, 170, 210]


def test_images_have_the_dtype_of_the_vision_weights(build, paint):
    batch = build(dtype=torch.bfloat16)([{"image_path": paint(64, 64), "text": "x"}])
    assert {view.dtype for view in batch["images"][0]} == {torch.bfloat16}


def test_an_empty_batch_and_two_images_in_the_prompt_are_refused(build):
    with pytest.raises(CollateError, match="no rows"):
        build()([])
    with pytest.raises(FamilyError, match="expected once"):
        build(prompt="<image> and <image>")


def test_a_prompt_without_the_image_token_gets_it_in_front(build, paint):
    batch = build(prompt="Read.")([{"image_path": paint(64, 64), "text": "x"}])
    assert batch["images_seq_mask"][0].nonzero().flatten().tolist() == list(range(1, 8))


def test_the_collator_works_in_a_spawned_process(build, paint):
    collator = build()
    row = {"image_path": paint(64, 64), "text": "снег"}
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        lengths = pool.apply(count_positions, (pickle.dumps(collator), row))
    assert lengths == list(collator([row])["input_ids"].shape)


def count_positions(pickled: bytes, row: dict[str, str]) -> list[int]:
    return list(pickle.loads(pickled)([row])["input_ids"].shape)
