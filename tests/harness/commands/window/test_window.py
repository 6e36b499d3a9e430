"""Snippets of our own that use the symbols real remote code and training scripts use, read against the index."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from click.testing import CliRunner

from preflight_ocr.harness.cli import preflight
from preflight_ocr.harness.commands.window import PackageWindow, Window, read_window
from preflight_ocr.harness.config.config import build_config
from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.reports.window.terminal import render

MODELING = """
    import math
    from transformers.cache_utils import Cache, DynamicCache
    from transformers.models.llama.modeling_llama import LlamaFlashAttention2
    from transformers.utils.import_utils import is_torch_fx_available
    from .configuration_page import PageConfig
    from torch import nn
    from typing import Optional

    class PageAttention(nn.Module):
        def forward(self, states, past_key_value: Optional[Cache] = None):
            return past_key_value.get_usable_length(1, 0)

    class PageModel:
        def forward(self, states, past_key_values=None):
            cache = DynamicCache.from_legacy_cache(past_key_values)
            return cache

        def prepare_inputs_for_generation(self, input_ids, past_key_values=None):
            if isinstance(past_key_values, Cache):
                return past_key_values.seen_tokens + past_key_values.get_max_length()
            return past_key_values.get_nothing_at_all()
"""
CONFIGURATION = """
    from transformers import PretrainedConfig

    class PageConfig(PretrainedConfig):
        pass
"""


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(dedent(text), encoding="utf-8")
    return folder


def read(folder: Path, text: str) -> Window:
    return read_window(write(folder, script=text))


def fails(window: Window, symbol: str, package: str = "transformers") -> tuple[str, ...]:
    """Every release that lacks the symbol."""
    return tuple(v for b in window.find(package).boundaries if b.symbol == symbol for v in b.fails)


def symbols(window: PackageWindow, release: str, stage: str) -> set[str]:
    return {b.symbol for b in window.failures(release) if b.stage == stage}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    config = {"model_type": "page", "auto_map": {"AutoModel": "modeling_page.PageModel"}}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return write(
        tmp_path, modeling_page=MODELING, configuration_page=CONFIGURATION, unused="import transformers.no_such_module"
    )


def test_remote_code_for_the_old_cache_fits_up_to_the_release_that_dropped_its_attention_class(model: Path) -> None:
    window = read_window(model).find("transformers")
    assert window.ranges == (("4.40.2", "4.47.1"),)
    assert {"4.46.3", "4.47.1"} <= set(window.fits)
    assert window.first_failing == "4.48.3"


def test_each_later_release_names_what_it_lacks(model: Path) -> None:
    window = read_window(model).find("transformers")
    llama = "transformers.models.llama.modeling_llama.LlamaFlashAttention2"
    fx = "transformers.utils.import_utils.is_torch_fx_available"
    assert symbols(window, "4.48.3", "import") == {llama}
    assert symbols(window, "4.48.3", "call") == set()
    assert symbols(window, "4.51.3", "import") == {llama}
    assert symbols(window, "4.51.3", "call") == {"Cache.get_max_length"}
    assert symbols(window, "4.57.6", "import") == {llama}
    assert {"Cache.get_usable_length", "Cache.seen_tokens"} <= symbols(window, "4.57.6", "call")
    assert symbols(window, "5.23.0", "import") == {llama, fx}
    assert "DynamicCache.from_legacy_cache" in symbols(window, "5.23.0", "call")


def test_a_boundary_gives_the_file_the_line_and_what_to_write_in_its_place(model: Path) -> None:
    boundary = read_window(model).find("transformers").failures("4.48.3")[0]
    assert [(site.file, site.line) for site in boundary.sites] == [("modeling_page.py", 4)]
    assert boundary.replacement is not None and "LlamaAttention" in boundary.replacement


def test_only_files_that_loading_the_model_runs_are_read(model: Path) -> None:
    assert read_window(model).files == ("modeling_page.py", "configuration_page.py")


def test_an_import_that_the_code_can_do_without_sets_no_boundary(tmp_path: Path) -> None:
    text = """
        from transformers.utils import is_flash_attn_2_available
        try:
            from transformers import AutoModelForVision2Seq
        except ImportError:
            AutoModelForVision2Seq = None
        if is_flash_attn_2_available():
            from transformers.models.llama.modeling_llama import LlamaFlashAttention2
    """
    window = read(tmp_path, text).find("transformers")
    assert window.fits == window.indexed


def test_an_attribute_that_the_code_asks_for_first_sets_no_boundary(tmp_path: Path) -> None:
    text = """
        from transformers import DynamicCache
        cache = DynamicCache()
        length = cache.get_max_length() if hasattr(cache, "get_max_length") else 0
    """
    assert not fails(read(tmp_path, text), "DynamicCache.get_max_length")


def test_code_that_compares_versions_first_sets_no_boundary(tmp_path: Path) -> None:
    text = """
        import transformers
        from packaging.version import parse
        from transformers import DynamicCache

        def convert(pairs):
            is_old = parse(transformers.__version__) < parse("4.56.0")
            if is_old:
                return DynamicCache.from_legacy_cache(pairs)
            return DynamicCache(pairs)
    """
    assert not fails(read(tmp_path, text), "DynamicCache.from_legacy_cache")


def test_two_classes_of_one_name_prove_nothing_missing(tmp_path: Path) -> None:
    first = """
        from transformers import Trainer

        class PageTrainer(Trainer):
            def show(self):
                return self.tokenizer
    """
    second = "class PageTrainer:\n    def __init__(self, tokenizer):\n        self.tokenizer = tokenizer\n"
    assert not fails(read_window(write(tmp_path, one=first)), "PageTrainer.other")
    assert fails(read_window(write(tmp_path, one=first)), "PageTrainer.tokenizer")
    assert not fails(read_window(write(tmp_path, one=first, two=second)), "PageTrainer.tokenizer")


@pytest.mark.parametrize(
    ("line", "symbol", "last", "first"),
    [
        ("T.AutoModelForVision2Seq", "transformers.AutoModelForVision2Seq", "4.57.6", "5.0.0"),
        (
            "T.AutoTokenizer.from_pretrained('x').batch_encode_plus([])",
            "PreTrainedTokenizerBase.batch_encode_plus",
            "4.57.6",
            "5.0.0",
        ),
        (
            "T.TrainingArguments(evaluation_strategy='no')",
            "TrainingArguments(evaluation_strategy=)",
            "4.45.2",
            "5.0.0",
        ),
        ("T.TrainingArguments(logging_dir='logs')", "TrainingArguments(logging_dir=)", "4.57.6", "5.23.0"),
        ("T.Trainer(tokenizer=None)", "Trainer(tokenizer=)", "4.57.6", "5.0.0"),
        ("T.DynamicCache().get_max_length()", "DynamicCache.get_max_length", "4.47.1", "5.0.0"),
        ("T.DynamicCache().to_legacy_cache()", "DynamicCache.to_legacy_cache", "4.57.6", "5.0.0"),
    ],
)
def test_a_name_of_transformers_4_is_found_missing_in_5(
    tmp_path: Path, line: str, symbol: str, last: str, first: str
) -> None:
    failing = fails(read(tmp_path, f"import transformers as T\n{line}\n"), symbol)
    assert last not in failing
    assert first in failing


def test_a_keyword_that_still_works_under_its_old_name_is_said_to_have_a_new_one(tmp_path: Path) -> None:
    text = "from transformers import AutoModel\nmodel = AutoModel.from_pretrained('x', torch_dtype='auto')\n"
    window = read(tmp_path, text).find("transformers")
    assert window.fits == window.indexed
    assert [(rename.replacement, rename.since) for rename in window.renames] == [("dtype", "4.56.2")]


def test_a_keyword_given_through_a_dict_or_a_subclass_counts(tmp_path: Path) -> None:
    text = """
        from transformers import Trainer, TrainingArguments

        class PageTrainer(Trainer):
            def __init__(self, tokenizer):
                super().__init__(tokenizer=tokenizer)

        given = {"output_dir": "out", "logging_dir": "logs"}
        arguments = TrainingArguments(**given)
    """
    window = read(tmp_path, text)
    assert "5.23.0" in fails(window, "Trainer(tokenizer=)")
    assert "5.23.0" in fails(window, "TrainingArguments(logging_dir=)")


def test_keywords_passed_through_are_not_those_of_another_functions_dict(tmp_path: Path) -> None:
    text = """
        from transformers import TrainingArguments

        def show():
            kwargs = {"logging_dir": "logs"}
            print(kwargs)

        def build(**kwargs):
            return TrainingArguments(output_dir="out", **kwargs)
    """
    assert not fails(read(tmp_path, text), "TrainingArguments(logging_dir=)")


def test_fields_of_a_users_own_arguments_are_no_unknown_keywords(tmp_path: Path) -> None:
    text = """
        from dataclasses import dataclass
        from transformers import TrainingArguments

        @dataclass
        class PageArguments(TrainingArguments):
            pages: int = 1

        arguments = PageArguments(output_dir="out", pages=3)
    """
    window = read(tmp_path, text).find("transformers")
    assert window.fits == window.indexed


def test_what_is_newer_than_the_oldest_release_sets_a_lower_bound(tmp_path: Path) -> None:
    text = "from peft import LoraConfig\nLoraConfig(r=8, exclude_modules=['vision'])\n"
    window = read(tmp_path, text).find("peft")
    assert window.ranges == (("0.14.0", window.indexed[-1]),)


def test_code_that_needs_a_later_processor_fits_from_its_release_on(tmp_path: Path) -> None:
    text = """
        from transformers import AutoProcessor, Qwen2_5_VLProcessor

        class PageProcessor(Qwen2_5_VLProcessor):
            pass
    """
    window = read(tmp_path, text).find("transformers")
    assert window.ranges == (("4.49.0", window.indexed[-1]),)
    assert [boundary.fails[-1] for boundary in window.boundaries] == ["4.48.3"]


def test_ordinary_training_code_fits_every_release(tmp_path: Path) -> None:
    text = """
        import transformers
        from accelerate import Accelerator
        from peft import LoraConfig, TaskType, get_peft_model
        from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase, Trainer

        def number(tokenizer: PreTrainedTokenizerBase, word: str) -> int:
            found = tokenizer.convert_tokens_to_ids(word)
            return tokenizer.eos_token_id if found == tokenizer.unk_token_id else found

        def main() -> None:
            tokenizer = AutoTokenizer.from_pretrained("x", trust_remote_code=True)
            model = AutoModelForCausalLM.from_pretrained("x", device_map=None)
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            model = get_peft_model(model, LoraConfig(r=8, task_type=TaskType.CAUSAL_LM))
            model.print_trainable_parameters()
            arguments = transformers.TrainingArguments(output_dir="out", learning_rate=1e-4)
            trainer = Trainer(model=model, args=arguments, train_dataset=[])
            trainer.train()
            trainer.save_model("out")
            tokenizer.save_pretrained("out")
            Accelerator(gradient_accumulation_steps=2).prepare(model)
    """
    window = read(tmp_path, text)
    assert {p.package: p.uses > 0 for p in window.packages} == dict.fromkeys(
        ("transformers", "peft", "accelerate"), True
    )
    assert all(package.fits == package.indexed for package in window.packages)
    assert not any(package.doubts for package in window.packages)


def test_a_keyword_that_accelerate_took_until_1_0_is_found(tmp_path: Path) -> None:
    window = read(tmp_path, "from accelerate import Accelerator\nAccelerator(dispatch_batches=True)\n")
    assert window.find("accelerate").first_failing == "1.0.1"
    assert not window.find("peft").uses


def test_a_value_of_unknown_class_is_a_doubt_and_no_boundary(tmp_path: Path) -> None:
    text = """
        import transformers

        def collate(tokenizer, rows):
            return tokenizer.batch_encode_plus(rows)
    """
    window = read(tmp_path, text).find("transformers")
    assert window.fits == window.indexed
    assert [(doubt.symbol, doubt.releases[0]) for doubt in window.doubts] == [("batch_encode_plus", "5.0.0")]


def test_a_method_that_moved_to_another_class_is_a_doubt_and_no_boundary(tmp_path: Path) -> None:
    text = """
        from transformers import PreTrainedModel

        class PageModel(PreTrainedModel):
            def read(self):
                self.eval()
                return self.generate()
    """
    window = read(tmp_path, text).find("transformers")
    assert window.fits == window.indexed
    assert [doubt.symbol for doubt in window.doubts] == ["PageModel.generate"]
    assert "GenerationMixin" in window.doubts[0].reason


def test_a_configuration_brings_in_the_users_own_parts(model: Path, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    write(
        code,
        mine="from transformers import AutoModelForVision2Seq\n\ndef build():\n    return AutoModelForVision2Seq\n",
    )
    values = {"model": {"base_model": str(model)}, "subject": {"path": str(code), "collator": "mine:build"}}
    window = read_window(build_config(values, source=tmp_path / "setup.yaml"))
    assert "mine.py" in window.files and "modeling_page.py" in window.files
    assert "5.0.0" in fails(window, "transformers.AutoModelForVision2Seq")


def test_a_file_that_cannot_be_parsed_is_said_to_be_unread(tmp_path: Path) -> None:
    window = read_window(write(tmp_path, good="import peft\n", broken="def f(:\n"))
    assert window.files == ("good.py",)
    assert "broken.py:1" in window.unread[0]
    assert "broken.py:1" in render(window)


def test_a_model_without_code_of_its_own_is_said_not_to_be_judged(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    window = read_window(tmp_path)
    assert not window.files
    assert "brings no code of its own" in render(window)


def test_a_folder_without_code_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected"):
        read_window(tmp_path)


@pytest.mark.slow
def test_code_nested_deeper_than_the_interpreter_recurses_is_read(tmp_path: Path) -> None:
    text = "import transformers\nx = transformers" + ".a" * 800 + "\ny = " + "1 + " * 800 + "1\n"
    assert read(tmp_path, text).files == ("script.py",)


def test_the_command_prints_the_table_and_writes_json(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "window.json"
    result = CliRunner().invoke(preflight, ["window", str(model), "--json", str(path)])
    assert result.exit_code == 0, result.output
    assert "4.40.2 to 4.47.1" in result.output
    assert "modeling_page.py:4" in result.output
    packages = {p["package"]: p for p in json.loads(path.read_text(encoding="utf-8"))["packages"]}
    assert packages["transformers"]["ranges"] == [["4.40.2", "4.47.1"]]
    assert packages["transformers"]["first_failing"] == "4.48.3"


def test_a_folder_without_code_makes_the_command_exit_with_2(tmp_path: Path) -> None:
    assert CliRunner().invoke(preflight, ["window", str(tmp_path)]).exit_code == 2


def test_reading_imports_none_of_the_libraries(model: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from preflight_ocr.harness.commands.window import read_window;"
        f"read_window(Path({str(model)!r}));"
        "print([n for n in ('torch', 'transformers', 'peft', 'accelerate', 'numpy', 'PIL') if n in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", check=True)
    assert result.stdout.strip() == "[]"
