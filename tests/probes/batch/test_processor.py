from __future__ import annotations

import contextlib

import pytest
import transformers
from transformers import AutoProcessor, PreTrainedTokenizerBase

from preflight_ocr.fixtures.corpus.models import find_model_obstacle
from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.check.sandboxes import open_sandbox
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.facts import Opened
from preflight_ocr.harness.isolation import Returned
from preflight_ocr.harness.training.model import load_processor
from preflight_ocr.probes.batch.processor import find_unfilled, observe, record_image_calls, record_openings
from tests.support.places import MODELS

needs_dots = pytest.mark.skipif(
    find_model_obstacle("dots_ocr") is not None, reason=str(find_model_obstacle("dots_ocr"))
)


@pytest.fixture
def processor_module(tmp_path, plant):
    """A script of the user's that opens the processor; the folder it is in can be imported from."""
    plant({"opener.py": "from transformers import AutoProcessor\n\n\ndef open_it(path):\n    return "
           "AutoProcessor.from_pretrained(path)  # the user's line\n"})  # fmt: skip
    return tmp_path / "opener.py"


def test_what_auto_processor_gives_for_a_model_without_a_processor_is_no_processor(project, tmp_path):
    found = observe(str(project), True, str(tmp_path))
    assert found["returned"] in ("tokenizer", "raised")  # transformers 4 gives the tokenizer, 5 raises
    assert (found["raised"] is not None) == (found["returned"] == "raised")


def test_a_tokenizer_that_is_called_with_images_is_told_with_the_line(healthy):
    with record_image_calls() as calls:
        healthy.tokenizer("text only")
        with contextlib.suppress(Exception):  # some versions refuse the keyword, others ignore it
            healthy.tokenizer("text", images=[1])  # the line to be told
    (site,) = calls
    assert site.file == "test_processor.py"
    assert "the line to be told" in site.code
    assert "Tokenizer" in site.kind


def test_nothing_is_recorded_after_the_block():
    original = PreTrainedTokenizerBase.__call__
    with pytest.raises(ZeroDivisionError), record_image_calls():
        raise ZeroDivisionError
    assert PreTrainedTokenizerBase.__call__ is original


@needs_dots
def test_a_processor_that_is_registered_by_an_import_is_told_from_what_comes_before(tmp_path):
    """In a child: in this process the module may have been imported long ago."""
    project = write_project(tmp_path / "project", [], model="dots_ocr")
    with open_sandbox() as sandbox:
        arguments = {"config_path": str(project), "trust": True, "folder": str(tmp_path)}
        ended = sandbox.run("preflight_ocr.probes.batch.processor:observe", arguments)
    assert isinstance(ended, Returned), ended
    assert ended.value["returned"] == "tokenizer"
    inherits = "video_processor" in getattr(transformers.Qwen2_5_VLProcessor, "attributes", ())
    assert ended.value["registered"]["returned"] == ("raised" if inherits else "processor")
    assert ended.value["unfilled"] == (["video_processor"] if inherits else [])


def test_a_model_without_a_processor_gives_the_same_both_times_and_has_no_slots(project, tmp_path):
    found = observe(str(project), True, str(tmp_path))
    assert found["registered"]["returned"] == found["returned"]
    assert not found["unfilled"]


class Parent:
    attributes = ("image_processor", "tokenizer", "video_processor")

    def __init__(self, image_processor=None, tokenizer=None, video_processor=None):
        self.parts = image_processor, tokenizer, video_processor


class Silent(Parent):
    def __init__(self, image_processor=None, tokenizer=None, **kwargs):
        super().__init__(image_processor, tokenizer)


class Passing(Parent):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)


class Modern(Silent):
    attributes = None


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(Parent, ()), (Silent, ("video_processor",)), (Passing, ()), (Modern, ()), (None, ())],
    ids=["fills all", "fills two", "passes all on", "reads the constructor", "unknown"],
)
def test_a_slot_without_an_argument_of_the_constructor_is_unfilled(plant, configure, monkeypatch, kind, expected):
    plant({"model/preprocessor_config.json": {"processor_class": "Silent"}})
    monkeypatch.setattr("preflight_ocr.probes.batch.processor._find_class", lambda name: kind)
    assert find_unfilled(configure()) == expected


def test_a_call_of_the_users_own_code_is_told_with_its_line_and_what_it_got(processor_module, monkeypatch):
    monkeypatch.syspath_prepend(processor_module.parent)
    import opener

    with record_openings() as calls:
        opener.open_it(str(MODELS / "deepseek_ocr"))
        with pytest.raises(Exception, match="nowhere"):
            opener.open_it("/nowhere/at/all")
    got, refused = calls
    assert isinstance(got, Opened)
    assert got.returned == "tokenizer"
    assert got.site is not None and (got.site.file, got.site.line) == ("opener.py", 5)
    assert "the user's line" in got.site.code
    assert refused.returned == "raised"
    assert refused.raised is not None


def test_a_call_of_ours_is_not_the_users(project):
    with record_openings() as calls:
        load_processor(load_config(project))
    assert calls == []


def test_the_class_is_as_before_after_the_block():
    original = vars(AutoProcessor)["from_pretrained"]
    with pytest.raises(ZeroDivisionError), record_openings():
        raise ZeroDivisionError
    assert vars(AutoProcessor)["from_pretrained"] is original
