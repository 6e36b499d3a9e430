from __future__ import annotations

import contextlib

import pytest
from transformers import PreTrainedTokenizerBase

from probes.processor import observe, record_image_calls


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
