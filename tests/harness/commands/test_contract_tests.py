from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from preflight_ocr.harness.commands import contract_tests as ghostwriter
from preflight_ocr.harness.commands.demo import prepare
from preflight_ocr.harness.config.config import build_config, load_config
from preflight_ocr.harness.facts import Raised, Unknown
from tests.specimens import HEALTHY, altered

GOLDEN = Path(__file__).with_name("contract_tests.py.golden")
NO_PREFLIGHT = """
import sys

class Barrier:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "preflight_ocr":
            raise ImportError(f"{name}: Preflight is not installed here")

sys.meta_path.insert(0, Barrier())
"""


def _config(**sections):
    document = {"model": {"base_model": "someone/model", "trust_remote_code": True}, **sections}
    return build_config(document, source=Path("/project/preflight.yaml"))


def _write(facts=HEALTHY, **sections):
    return ghostwriter.write_source(facts, _config(**sections))


def test_the_source_is_what_a_person_reviewed():
    """To accept a change, run this file as a script: it writes the golden file."""
    assert _write(lora={"r": 8, "target_modules": ["q_proj", "v_proj"]}) == GOLDEN.read_text(encoding="utf-8")


def test_the_source_names_nothing_of_ours():
    imported = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(_write()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [getattr(node, "module", None) or ""]
        )
    }
    assert "preflight_ocr" not in imported and "pytest" in imported


def test_own_parts_are_asked_for_model_batch_and_adapter():
    source = _write(
        subject={"model": "mine.load:model", "collator": "mine.data:collate", "peft": "mine.load:adapt"},
        data={"train_path": "/project/rows"},
    )
    assert 'import_part("mine.load:model")(read_config())' in source
    assert 'import_part("mine.data:collate")(read_config(), make_processor(), model)' in source
    assert 'import_part("mine.load:adapt")(read_config(), copy.deepcopy(model))' in source
    assert "batch.safetensors" not in source
    assert "import peft" not in source
    ast.parse(source)


def test_a_model_without_a_placement_mask_gets_no_test_of_one():
    source = _write(altered(HEALTHY, {"collator.roles": {"images": "pixels"}}))
    assert "test_the_mask_is_on" not in source
    assert "test_images_have_the_dtype" in source
    ast.parse(source)


def test_a_model_without_hard_coded_devices_is_not_redirected():
    facts = altered(HEALTHY, {"forward.redirected": (), "repository.device_sites": ()})
    assert "_StayOnCPU" not in _write(facts)


def test_hostile_text_stays_a_string():
    hostile = '""" + __import__("os").system("true") + """\\'
    source = _write(lora={"target_modules": [hostile]}, training={"output_dir": hostile})
    assert hostile in [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    assert not [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Attribute) and n.attr == "system"]


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"collator": Unknown(reason="no trust")}, "no trust"),
        (
            {
                "collator.batch": Raised(type="ValueError", message="x", site=None),
                "collator.reference": Unknown(reason="not declared"),
            },
            "returned no batch",
        ),
        (
            {"forward": Unknown(reason="x"), "repository": Unknown(reason="y")},
            "nothing is known of the model's forward",
        ),
    ],
)
def test_too_few_facts_are_refused_with_what_to_do(changes, part):
    with pytest.raises(ghostwriter.NotEnoughFacts, match=part):
        _write(altered(HEALTHY, changes))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The tests for the miniature, with a barrier in the way of every import of ours."""
    folder = tmp_path_factory.mktemp("ghost")
    config = load_config(prepare(folder / "demo"))
    facts = altered(
        HEALTHY, {"tokenizer.image.id": _token("<image>"), "tokenizer.eos.id": _token("<｜end▁of▁sentence｜>")}
    )
    ghostwriter.write_tests(facts, config, folder / "tests")
    (folder / "tests" / "conftest.py").write_text(NO_PREFLIGHT, encoding="utf-8")
    return folder / "tests"


def _token(text):
    import json

    from preflight_ocr import fixtures

    files = Path(fixtures.__file__).parent / "models" / "deepseek_ocr"
    tokens = json.loads((files / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    return next(token["id"] for token in tokens if token["content"] == text)


def _run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:preflight", "-p", "no:cacheprovider", *words]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False, timeout=120
    )


@pytest.mark.slow
def test_the_tests_pass_on_the_miniature_without_preflight(written):
    ran = _run(written, "-rs")
    assert ran.returncode == 0, ran.stdout
    assert " passed" in ran.stdout


HEALTHY_CHANGES = (
    'batch["images_spatial_crop"] = [tuple(pair) for pair in batch["images_spatial_crop"].tolist()]',
    'batch["attention_mask"] = batch["attention_mask"].bool().long()',
    'batch["labels"] = batch["labels"].int().long()',
)
"""What forward takes as well."""

FAULTS = {
    'batch["pixel_values"] = batch.pop("images")': "test_forward_takes_every_key_of_the_batch",
    'batch["images_seq_mask"] = batch["images_seq_mask"].float()': "test_the_mask_is_on_at_the_image_tokens",
    'batch["images_seq_mask"] = torch.ones(2, 1, dtype=torch.bool)': "test_every_tensor_has_the_kind_and_shape",
    'batch["labels"] = batch["input_ids"].clone()': "test_padding_is_not_trained",
    'batch["labels"][:] = IGNORED': "test_every_row_trains_something",
    'batch["images"] = [pair[1][0] for pair in batch["images"]]': "test_every_tensor_has_the_kind_and_shape",
    'batch["images"] = [[t.half() for t in pair] for pair in batch["images"]]': "test_images_have_the_dtype",
    'batch["images_spatial_crop"] = None': "test_the_batch_brings_what_forward_needs",
    'batch["images_spatial_crop"] = batch["images_spatial_crop"][:1]': "test_every_tensor_has_the_kind_and_shape",
}


@pytest.mark.slow
def test_the_tests_find_planted_faults(written, tmp_path):
    """One copy of the tests per fault, all in one session."""
    source = (written / ghostwriter.TEST_FILE).read_text(encoding="utf-8")
    source = source.replace("HERE = Path(__file__).parent", f"HERE = Path({str(written)!r})")
    shutil.copy(written / "small_model.py", tmp_path)
    for number, fault in enumerate(FAULTS):
        planted = f"    batch = dict(make_batch(model))\n    {fault}\n    return batch"
        sick = source.replace("    return dict(make_batch(model))", planted)
        (tmp_path / f"test_{number}.py").write_text(sick, encoding="utf-8")
    for number, change in enumerate(HEALTHY_CHANGES):
        planted = f"    batch = dict(make_batch(model))\n    {change}\n    return batch"
        healthy = source.replace("    return dict(make_batch(model))", planted)
        (tmp_path / f"test_healthy_{number}.py").write_text(healthy, encoding="utf-8")
    ran = _run(tmp_path, "-k", " or ".join(set(FAULTS.values())))
    assert "FAILED test_healthy" not in ran.stdout and "ERROR" not in ran.stdout, ran.stdout
    unseen = [f for n, (f, test) in enumerate(FAULTS.items()) if f"FAILED test_{n}.py::{test}" not in ran.stdout]
    assert not unseen, ran.stdout


if __name__ == "__main__":
    GOLDEN.write_text(_write(lora={"r": 8, "target_modules": ["q_proj", "v_proj"]}), encoding="utf-8")
