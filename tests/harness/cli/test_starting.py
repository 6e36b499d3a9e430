"""`preflight init` and `preflight schema`, as a newcomer types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from preflight_ocr.fixtures.corpus.models import MODELS
from preflight_ocr.harness.cli import preflight
from preflight_ocr.harness.config.config import load_config

MODEL = MODELS / "deepseek_ocr"


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(preflight, [str(word) for word in words], catch_exceptions=False)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for split, texts in (("train", ("short", "a longer text")), ("val", ("one",))):
        folder = tmp_path / "data" / split
        folder.mkdir(parents=True)
        rows = [{"image_path": "a.png", "text": text} for text in texts]
        (folder / "metadata.json").write_text(json.dumps(rows), encoding="utf-8")
    return tmp_path / "data"


def test_what_is_found_is_written_and_loads(run, data, tmp_path):
    result = run("init", "--model", MODEL, "--data", data)
    assert result.exit_code == 0
    text = (tmp_path / "preflight.yaml").read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=")
    assert "# 2 rows; the longest text has 13 characters" in text
    config = load_config(tmp_path / "preflight.yaml")
    assert config.unknown_keys == ()
    assert (config.data.train_path, config.data.val_path) == (data / "train", data / "val")
    assert not config.model.trust_remote_code
    assert (
        "To do: max_seq_length and target_modules were not looked for: the model's own code was not run"
        in result.stdout
    )
    assert result.stdout.splitlines()[-1] == "Next: read it, then type `preflight check preflight.yaml`"


def test_an_imagefolder_as_prepare_data_writes_it_is_found(run, data, tmp_path):
    for split in ("train", "val"):
        path = data / split / "metadata.json"
        rows = json.loads(path.read_text(encoding="utf-8"))
        lines = [json.dumps({"file_name": "0/a.png", "text": row["text"]}) for row in rows]
        (data / split / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
        path.unlink()
    assert run("init", "--model", MODEL, "--data", data).exit_code == 0
    assert "# 2 rows; the longest text has 13 characters" in (tmp_path / "preflight.yaml").read_text(encoding="utf-8")
    config = load_config(tmp_path / "preflight.yaml")
    assert (config.data.train_path, config.data.val_path) == (data / "train", data / "val")


def test_a_file_that_is_there_is_left_as_it_is(run, data, tmp_path):
    (tmp_path / "preflight.yaml").write_text("mine", encoding="utf-8")
    assert run("init", "--data", data).exit_code == 2
    assert (tmp_path / "preflight.yaml").read_text(encoding="utf-8") == "mine"
    assert run("init", "--data", data, "--force").exit_code == 0


@pytest.mark.parametrize(
    ("written", "expected", "left"),
    [
        (
            "base_model: some/model\nlora_r: 32\nlora_target_modules: [q_proj]\nmicro_batch_size: 2\nnum_epochs: 4\n"
            "learning_rate: 2e-4\nflash_attention: true\nsequence_len: 4096\ndatasets: []\n",
            {
                "model": {"base_model": "some/model", "attn_implementation": "flash_attention_2"},
                "lora": {"r": 32, "target_modules": ["q_proj"]},
                "training": {"per_device_train_batch_size": 2, "num_train_epochs": 4, "learning_rate": 2e-4},
                "data": {"max_seq_length": 4096},
            },
            "Not taken over from axolotl: datasets",
        ),
        (
            "model_name_or_path: some/model\nlora_rank: 4\nlora_target: q_proj,v_proj\ncutoff_len: 2048\nbf16: true\n"
            "stage: sft\n",
            {
                "model": {"base_model": "some/model"},
                "lora": {"r": 4, "target_modules": ["q_proj", "v_proj"]},
                "training": {"bf16": True},
                "data": {"max_seq_length": 2048},
            },
            "Not taken over from LLaMA-Factory: stage",
        ),
        (
            "base_model: some/model\nadapter: qlora\nload_in_4bit: true\nload_in_8bit: false\nsdp_attention: true\n"
            "lora_target_modules: 'language_model.layers.[\\d]+.self_attn.(q|v)_proj'\n",
            {
                "model": {
                    "attn_implementation": "sdpa",
                    "quantization": {
                        "load_in_4bit": True,
                        "bnb_4bit_quant_type": "nf4",
                        "bnb_4bit_use_double_quant": True,
                    },
                },
                "lora": {"target_modules": "language_model.layers.[\\d]+.self_attn.(q|v)_proj"},
            },
            "Not taken over from axolotl: adapter",
        ),
        (
            "base_model: some/model\nlora_target_linear: true\nload_in_8bit: true\nrl: dpo\n",
            {"lora": {"target_modules": "all-linear"}, "model": {"quantization": {"load_in_8bit": True}}},
            "Not taken over from axolotl: rl",
        ),
        (
            "model_name_or_path: some/model\nquantization_bit: 4\nquantization_method: hqq\nlora_rank: 2\n",
            {"lora": {"r": 2}},
            "Not taken over from LLaMA-Factory: quantization_bit, quantization_method",
        ),
        (
            "model_name_or_path: some/model\nquantization_bit: 4\nquantization_type: fp4\nlora_target: all\nstage: sft\n",
            {
                "lora": {"target_modules": "all-linear"},
                "model": {
                    "quantization": {
                        "load_in_4bit": True,
                        "bnb_4bit_quant_type": "fp4",
                        "bnb_4bit_use_double_quant": True,
                    }
                },
            },
            "Not taken over from LLaMA-Factory: stage",
        ),
    ],
)
def test_another_programs_file_is_taken_over(run, tmp_path, written, expected, left):
    (tmp_path / "theirs.yaml").write_text(written, encoding="utf-8")
    assert run("init", "--from", "theirs.yaml").exit_code == 0
    text = (tmp_path / "preflight.yaml").read_text(encoding="utf-8")
    document = yaml.safe_load(text)
    for section, keys in expected.items():
        assert {key: document[section][key] for key in keys} == keys
    assert left in text
    assert load_config(tmp_path / "preflight.yaml").unknown_keys == ()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give --model ID|DIR, --data DIR, or --from"),
        (("--data", "nowhere"), "seen neither metadata.json nor train/metadata.json"),
        (("--data", "data/train/metadata.json"), "seen a file, expected the folder that holds metadata.json"),
        (("--from", "other.yaml"), "seen neither `base_model: ID` as axolotl writes it"),
        (("--from", "nowhere.yaml"), "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_refused_and_writes_nothing(run, data, tmp_path, words, said):
    (tmp_path / "other.yaml").write_text("a: 1\n", encoding="utf-8")
    result = run("init", *words)
    assert (result.exit_code, said in result.stderr) == (2, True)
    assert not (tmp_path / "preflight.yaml").exists()


def test_the_schema_is_printed_or_written(run, tmp_path):
    printed = json.loads(run("schema").stdout)
    assert run("schema", "-o", "s.json").stdout == "Schema: s.json\n"
    assert json.loads((tmp_path / "s.json").read_text(encoding="utf-8")) == printed
    assert printed["properties"]["lora"]


@pytest.mark.slow
def test_with_trust_the_longest_row_decides_the_length(run, tmp_path):
    from preflight_ocr.fixtures.pages import render_pages

    render_pages(tmp_path / "pages", count=6, seed=1, kind="words")
    result = run("init", "--model", MODEL, "--data", "pages", "--trust")
    assert result.exit_code == 0 and "To do" not in result.stdout
    document = yaml.safe_load((tmp_path / "preflight.yaml").read_text(encoding="utf-8"))
    assert document["data"]["max_seq_length"] % 64 == 0
    assert "q_proj" in document["lora"]["target_modules"]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("modle", "there is no such folder; did you mean model? (a hub id is written OWNER/NAME)"),
        ("./modle", "there is no such folder; did you mean model?"),
        ("data/gone", "there is no such folder"),
        ("data/train/metadata.json", "seen a file, expected the model's folder or a hub id"),
    ],
)
def test_a_folder_that_is_not_there_is_not_looked_for_on_the_hub(run, data, tmp_path, model, said):
    (tmp_path / "model").mkdir()
    result = run("init", "--model", model, "--data", data)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].endswith(f"--model {model}: {said}")
    assert not (tmp_path / "preflight.yaml").exists()


SMALL = {
    "model_type": "qwen2_vl", "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "vocab_size": 64,
    "vision_config": {"depth": 1, "embed_dim": 16, "hidden_size": 16, "num_heads": 1},
}  # fmt: skip
"""A model that is built in no time: what stands nowhere is that of the real one, gigabytes large."""


class Hub:
    """Stands in for the client of the hub, as none can be reached here: a model's files with their sizes."""

    FILES = {"config.json": 40, "weights/model.safetensors": 6_000_000_000, "modeling.py": 900, "pytorch_model.bin": 7}

    def __init__(self, cache: Path) -> None:
        self.cache, self.fetched = cache, []

    def model_info(self, name, *, revision, files_metadata):
        siblings = [types.SimpleNamespace(rfilename=file, size=size) for file, size in self.FILES.items()]
        return types.SimpleNamespace(siblings=siblings)

    def download(self, name, file, *, revision, cache_dir):
        self.fetched.append(file)
        place = self.cache / f"models--{name.replace('/', '--')}"
        (place / "refs").mkdir(parents=True, exist_ok=True)
        (place / "refs" / "main").write_text("a" * 40, encoding="utf-8")
        path = place / "snapshots" / ("a" * 40) / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(SMALL) if file == "config.json" else "", encoding="utf-8")


@pytest.fixture
def hub(monkeypatch, tmp_path):
    import huggingface_hub

    found = Hub(tmp_path / "cache")
    monkeypatch.setenv("HF_HUB_CACHE", str(found.cache))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: found)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", found.download)
    return found


def test_of_a_hub_id_everything_but_the_weights_is_fetched(run, data, hub, tmp_path):
    result = run("init", "--model", "owner/name", "--data", data)
    assert hub.fetched == ["config.json", "modeling.py"]
    assert "Fetched 2 files of owner/name, 940 B; 2 files of weights, 5.6 GiB, stayed" in result.stdout
    assert "fetching 2 of 2: modeling.py, 900 B; 40 B of 940 B are here" in result.stderr
    assert "base_model: owner/name  # qwen2_vl" in (tmp_path / "preflight.yaml").read_text(encoding="utf-8")


def test_what_lies_in_the_cache_is_not_fetched_again(run, hub):
    for words in ((), ("--force",)):  # without rows, so that none is measured
        assert run("init", "--model", "owner/name", *words).exit_code == 0
    assert hub.fetched == ["config.json", "modeling.py"]


def test_a_hub_that_does_not_answer_leaves_something_to_do(run, data, hub, monkeypatch):
    monkeypatch.setattr(hub, "model_info", lambda *words, **named: (_ for _ in ()).throw(OSError("no route to host")))
    result = run("init", "--model", "owner/name", "--data", data)
    assert result.exit_code == 0
    assert (
        "To do: the files of owner/name were not fetched: the hub gave no answer that helps: no route" in result.stdout
    )


def test_a_machine_without_a_network_is_told_so_in_a_sentence(data, tmp_path):
    environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    environment |= {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "home")}  # where nobody listens
    words = [sys.executable, "-m", "preflight_ocr", "init", "--model", "owner/name", "--data", str(data)]
    ended = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, encoding="utf-8")
    assert ended.returncode == 0, ended.stderr
    assert "To do: the files of owner/name were not fetched: the hub gave no answer that helps" in ended.stdout


def test_offline_nothing_is_asked_for(run, data, hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert (
        "HF_HUB_OFFLINE is set, so nothing was fetched" in run("init", "--model", "owner/name", "--data", data).stdout
    )
    assert hub.fetched == []
