"""Names in a model's JSON files, parts of its processor, and buffers that newer releases lose."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

import pytest

from preflight_ocr.harness.commands.window import read_window
from preflight_ocr.harness.commands.window.window import judge_names
from preflight_ocr.harness.facts import Site
from preflight_ocr.reports.window.terminal import render

PROCESSOR = """
    from transformers import Qwen2_5_VLProcessor

    class PageProcessor(Qwen2_5_VLProcessor):
        {attributes}
        def __init__(self, image_processor=None, tokenizer=None, {more}chat_template=None, **kwargs):
            super().__init__(image_processor, tokenizer, chat_template=chat_template)
"""
ROTARY = """
    import torch
    from torch import nn
    from transformers import PreTrainedModel

    class Rotary(nn.Module):
        def __init__(self, dim):
            super().__init__()
            self.register_buffer("inv_freq", 1.0 / torch.arange(1, dim), persistent={persistent})

    class PageModel(PreTrainedModel):
        {setter}
"""


def write(folder: Path, config: dict, **files: str) -> Path:
    (folder / "config.json").write_text(json.dumps(config, indent=2), "utf-8")
    for name, text in files.items():
        (folder / f"{name}.py").write_text(dedent(text), "utf-8")
    return folder


def failing(folder: Path, symbol: str) -> tuple[str, ...]:
    window = read_window(folder).find("transformers")
    return tuple(version for b in window.boundaries if b.symbol == symbol for version in b.fails)


class TestNamesInFiles:
    def test_a_model_without_code_fits_where_its_class_and_its_processors_are(self, tmp_path):
        write(tmp_path, {"architectures": ["Qwen2VLForConditionalGeneration"]})
        (tmp_path / "processor_config.json").write_text('{\n "processor_class": "Qwen2VLProcessor"\n}', "utf-8")
        window = read_window(tmp_path)
        assert window.declared == ("Qwen2VLForConditionalGeneration", "Qwen2VLProcessor")
        assert window.find("transformers").fits[0] == "4.45.2"
        [first, second] = window.find("transformers").boundaries
        assert (first.sites[0].file, first.sites[0].line) == ("config.json", 3)
        assert (second.sites[0].file, second.sites[0].line) == ("processor_config.json", 2)
        shown = " ".join(render(window).split())
        assert "its files name Qwen2VLForConditionalGeneration and Qwen2VLProcessor" in shown

    def test_a_name_that_no_release_has_is_the_authors_and_rules_out_nothing(self, tmp_path):
        write(tmp_path, {"architectures": ["PageForReading"]})
        (tmp_path / "tokenizer_config.json").write_text('{"processor_class": "PageProcessor"}', "utf-8")
        assert read_window(tmp_path).find("transformers").boundaries == ()

    def test_a_model_with_code_of_its_own_is_not_looked_up_in_the_library(self, tmp_path):
        config = {
            "architectures": ["Qwen3VLForConditionalGeneration"],
            "auto_map": {"AutoModel": "modeling_page.PageModel"},
        }
        write(tmp_path, config, modeling_page="class PageModel: pass")
        assert read_window(tmp_path).declared == ()

    @pytest.mark.parametrize("architectures", [None, [], [3], "Qwen2VLForConditionalGeneration", {}])
    def test_a_file_that_says_something_else_names_nothing(self, tmp_path, architectures):
        write(tmp_path, {"architectures": architectures})
        assert read_window(tmp_path).declared == ()

    def test_names_alone_give_the_same_window(self):
        site = Site(file="recipe.py", line=1, code="", kind="", runs=None)
        assert judge_names(["Qwen2VLProcessor", "NobodysProcessor"], site).fits[0] == "4.45.2"


class TestPartsOfAProcessor:
    CONFIG = {"auto_map": {"AutoProcessor": "processing_page.PageProcessor"}}
    SYMBOL = "PageProcessor(video_processor)"

    def test_a_subclass_that_takes_no_video_processor_fails_where_its_base_has_that_part(self, tmp_path):
        write(tmp_path, self.CONFIG, processing_page=PROCESSOR.format(attributes="", more=""))
        failed = failing(tmp_path, self.SYMBOL)
        assert (failed[0], failed[-1]) == ("4.52.4", "4.57.6")
        window = read_window(tmp_path)
        assert window.find("transformers").ranges == (
            ("4.49.0", "4.51.3"),
            ("5.0.0", window.find("transformers").indexed[-1]),
        )

    def test_a_subclass_that_takes_every_part_fits(self, tmp_path):
        write(tmp_path, self.CONFIG, processing_page=PROCESSOR.format(attributes="", more="video_processor=None, "))
        assert failing(tmp_path, self.SYMBOL) == ()

    def test_a_subclass_that_lists_its_own_parts_fits(self, tmp_path):
        own = 'attributes = ["image_processor", "tokenizer"]'
        write(tmp_path, self.CONFIG, processing_page=PROCESSOR.format(attributes=own, more=""))
        assert failing(tmp_path, self.SYMBOL) == ()

    def test_a_subclass_with_the_inherited_constructor_fits(self, tmp_path):
        text = "from transformers import Qwen2_5_VLProcessor\nclass PageProcessor(Qwen2_5_VLProcessor):\n    pass\n"
        write(tmp_path, self.CONFIG, processing_page=text)
        assert failing(tmp_path, self.SYMBOL) == ()

    def test_a_class_that_is_no_processor_has_no_parts(self, tmp_path):
        text = """
            from transformers import PretrainedConfig
            class PageConfig(PretrainedConfig):
                def __init__(self, tokenizer=None):
                    super().__init__()
        """
        write(tmp_path, self.CONFIG, processing_page=text)
        assert read_window(tmp_path).find("transformers").boundaries == ()


class TestUnsavedBuffers:
    CONFIG = {"auto_map": {"AutoModel": "modeling_page.PageModel"}}

    def doubts(self, folder: Path, *, persistent: str = "False", setter: str = "pass") -> list[str]:
        write(folder, self.CONFIG, modeling_page=ROTARY.format(persistent=persistent, setter=setter))
        return [d.symbol for d in read_window(folder).find("transformers").doubts if d.symbol.startswith("buffer")]

    def test_a_buffer_that_is_saved_nowhere_is_a_doubt_from_transformers_5_on(self, tmp_path):
        assert self.doubts(tmp_path) == ["buffer inv_freq"]
        [doubt] = [d for d in read_window(tmp_path).find("transformers").doubts if d.symbol == "buffer inv_freq"]
        assert doubt.releases[0] == "5.0.0"
        assert doubt.sites[0].line == 9
        assert read_window(tmp_path).find("transformers").boundaries == ()

    def test_a_saved_buffer_is_none(self, tmp_path):
        assert self.doubts(tmp_path, persistent="True") == []

    def test_a_buffer_that_the_model_sets_when_it_is_loaded_is_none(self, tmp_path):
        setter = "def _init_weights(self, module):\n            module.inv_freq.copy_(1.0)"
        assert self.doubts(tmp_path, setter=setter) == []
