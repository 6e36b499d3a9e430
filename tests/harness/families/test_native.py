"""What our collator owes every model of the corpus that can be had here, whoever prepares its pictures."""

from __future__ import annotations

import ast
import inspect
import json
import pickle

import pytest
import torch
import transformers
from PIL import Image

from preflight_ocr.fixtures.corpus.models import find_miniature, find_miniatures, find_model_obstacle, place_model
from preflight_ocr.fixtures.native import load_recipe
from preflight_ocr.harness.families import FAMILIES, FamilyError, find_family
from preflight_ocr.harness.families.native import INSTRUCTION
from preflight_ocr.harness.training.collate import IGNORED

EVERY = pytest.mark.parametrize("name", [model.name for model in find_miniatures()])
TEXTS = ("дом 12", "a longer line of text, with <td>cells</td>")


@pytest.fixture(scope="module")
def opened(open_collator):
    """One collator for each model, for tests that only look."""
    known = {}

    def opened(name):
        if name not in known:
            known[name] = open_collator(name)
        return known[name]

    return opened


@pytest.fixture
def rows(paint):
    sizes = ((200, 120), (60, 300))
    return [{"image_path": paint(*size), "text": text} for size, text in zip(sizes, TEXTS, strict=True)]


def read_forward(name):
    """The names of the parameters that the model's forward takes; remote code is read and not run."""
    if find_miniature(name).is_native:
        kind = getattr(transformers, load_recipe(name).needs[1])
        return set(inspect.signature(kind.forward).parameters)
    (wanted,) = json.loads((place_model(name) / "config.json").read_text(encoding="utf-8"))["architectures"]
    for path in place_model(name).glob("modeling_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and node.name == wanted:
                forward = next(n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "forward")
                return {argument.arg for argument in (*forward.args.args, *forward.args.kwonlyargs)}
    raise LookupError(f"{wanted} is in no file of {name}")


@EVERY
def test_exactly_one_family_recognises_the_model(name):
    if obstacle := find_model_obstacle(name):
        pytest.skip(obstacle)
    config_json = json.loads((place_model(name) / "config.json").read_text(encoding="utf-8"))
    names = frozenset(read_forward(name))
    assert [family.name for family in FAMILIES.values() if family.recognises(names, config_json)] == [
        find_miniature(name).family.name
    ]
    assert find_family(names, config_json) is find_miniature(name).family


@EVERY
def test_exactly_the_target_and_its_end_are_supervised(opened, rows, name):
    collator = opened(name)
    batch, apart = collator(rows), collator.family.encoder_decoder
    for index, row in enumerate(rows):
        labels = batch["labels"][index]
        trained = labels[labels != IGNORED]
        assert trained[-1] == collator.tokenizer.eos_token_id
        assert collator.tokenizer.decode(trained[:-1], clean_up_tokenization_spaces=False) == row["text"]
        if not apart:
            assert torch.equal(batch["input_ids"][index][labels != IGNORED], trained)
            assert not bool((labels[batch["attention_mask"][index] == 0] != IGNORED).any())


@EVERY
def test_the_prompt_for_generation_is_the_training_prompt(opened, rows, name):
    collator = opened(name)
    for row in rows:
        trained, prompt = collator([row]), collator.prompts([row])
        assert "labels" not in prompt
        if "input_ids" not in trained:
            assert "input_ids" not in prompt
            continue
        kept = trained["input_ids"][0]
        if not collator.family.encoder_decoder:
            kept = kept[trained["labels"][0] == IGNORED]
        assert torch.equal(prompt["input_ids"][0], kept)
        assert bool(prompt["attention_mask"].all())


@EVERY
def test_the_prompt_asks_for_what_the_configuration_says(open_collator, rows, name):
    if not find_miniature(name).takes_prompt:
        with pytest.raises(FamilyError, match=r"`data\.prompt` has no place"):
            open_collator(name, prompt="What is written here?")
        return
    asked = open_collator(name, prompt="What is written here?")
    prompt = asked.tokenizer.decode(asked.prompts(rows[:1])["input_ids"][0])
    assert "What is written here?" in prompt
    assert INSTRUCTION not in prompt


@EVERY
def test_a_batch_of_several_rows_equals_its_rows_alone_up_to_padding(opened, rows, name):
    collator = opened(name)
    batch, alone = collator(rows), [collator([row]) for row in rows]
    assert list(batch) == list(alone[0])
    for argument, value in batch.items():
        if isinstance(value, list):
            assert all(same(mine, one[argument][0]) for mine, one in zip(value, alone, strict=True))
        elif (
            argument in ("input_ids", "attention_mask", "labels") or value.shape == batch.get("input_ids", value).shape
        ):
            for index, one in enumerate(alone):
                kept = unpad(value[index], one[argument].shape[1], argument, collator)
                assert torch.equal(kept, one[argument][0]), argument
        else:
            along = -1 if argument in getattr(collator.intake, "strips", ()) else 0
            parts = torch.split(value, [one[argument].shape[along] for one in alone], dim=along)
            for part, one in zip(parts, alone, strict=True):
                inside = part[tuple(slice(0, size) for size in one[argument].shape)]
                assert torch.equal(inside, one[argument]), argument
                assert part.count_nonzero() == one[argument].count_nonzero(), f"{argument} is not filled up with zeros"


def same(left, right):
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return torch.equal(left, right) if isinstance(left, torch.Tensor) else left == right


def unpad(row, length, argument, collator):
    apart = argument == "labels" and collator.family.encoder_decoder
    return row[-length:] if collator.tokenizer.padding_side == "left" and not apart else row[:length]


@EVERY
def test_the_collator_pickles_and_goes_on_as_before(opened, rows, name):
    collator = opened(name)
    before, after = collator(rows), pickle.loads(pickle.dumps(collator))(rows)
    assert list(before) == list(after)
    for argument, value in before.items():
        pairs = (
            zip(value, after[argument], strict=True) if isinstance(value, list) else [((value,), (after[argument],))]
        )
        assert all(same(*pair) for pair in pairs), argument


@EVERY
def test_a_row_without_a_page_is_taken_or_refused_by_name(opened, rows, name):
    collator, bare = opened(name), {"text": "a row without any page"}
    try:
        batch = collator([rows[0], bare])
    except FamilyError as error:
        assert "'a row without any page'" in str(error) and str(error).endswith("drop the row")
        # Idefics3's processor of 4.46 trips over a text without a picture, later ones take it.
        tripped = name == "idefics3" and "list index out of range" in str(error)
        assert tripped or name in ("donut", "got_ocr2", "kosmos2_5", "paligemma", "pix2struct", "trocr")
        return
    labels = batch["labels"][1]
    read = collator.tokenizer.decode(labels[labels != IGNORED][:-1], clean_up_tokenization_spaces=False)
    assert read == bare["text"]
    if collator.image_token_id is not None and not collator.family.encoder_decoder:
        opens = collator.image_token_id == collator.tokenizer.bos_token_id
        assert int((batch["input_ids"][1] == collator.image_token_id).sum()) == int(opens)
    assert "labels" in collator([bare])


@EVERY
def test_a_page_that_cannot_be_prepared_is_refused_with_its_path(opened, paint, name):
    path = paint(4000, 1)
    try:
        batch = opened(name)([{"image_path": path, "text": "a line"}])
    except FamilyError as error:
        assert str(error).startswith(f"{path}: ")
    else:
        assert "labels" in batch


@EVERY
@pytest.mark.parametrize("height", [1, 3, 4])
def test_the_rows_of_a_thin_page_are_not_taken_for_its_colours(opened, tmp_path, name, height):
    path = tmp_path / "red.png"
    Image.new("RGB", (64, height), (255, 0, 0)).save(path)
    collator = opened(name)
    try:
        batch = collator([{"image_path": str(path), "text": "a line"}])
    except FamilyError as error:
        assert str(path) in str(error)
        return
    pixels = batch[next(argument for argument, role in collator.family.roles.items() if role == "pixels")]
    pixels = pixels[0][1] if isinstance(pixels, list) else pixels
    if collator.intake.mean is None:  # standardised picture by picture: nothing fixed to undo
        assert pixels.shape[-1] == 2 + 3 * 16**2
        return
    # Packed patches hold one channel after the other, pictures have them third from the end.
    packed = pixels.dim() == 2
    split = pixels.float().reshape(len(pixels), 3, -1) if packed else pixels.float().reshape(-1, *pixels.shape[-3:])
    red, green = split[:, 0], split[:, 1]
    mean, std = collator.intake.mean, collator.intake.std
    assert float(red.max()) * std[0] + mean[0] == pytest.approx(1.0, abs=0.02)
    assert float(green.min()) * std[1] + mean[1] == pytest.approx(0.0, abs=0.02)


@EVERY
def test_tokens_to_which_the_models_files_give_a_meaning_stay_characters_when_typed(opened, name):
    collator = opened(name)
    content = json.loads((place_model(name) / "config.json").read_text(encoding="utf-8"))
    known, meant = collator.tokenizer.added_tokens_decoder, []
    for key, value in {**content.get("text_config", {}), **content}.items():
        numbers = value if isinstance(value, list) else [value]
        meant += [n for n in numbers if key.endswith(("token_id", "token_index")) and n in known]
    typed = " ".join(known[number].content for number in meant)
    tokens = collator._tokenize(f"see {typed} here")
    assert meant and not set(meant) & set(tokens)
    assert collator.tokenizer.decode(tokens, clean_up_tokenization_spaces=False) == f"see {typed} here"


def test_the_configurations_image_token_wins_over_the_processors(opened):
    """Gemma 3's processor calls the token that opens a picture its image token."""
    collator = opened("gemma3")
    assert collator.intake.image_token == "<image_soft_token>"
