"""Processor files, planted beside a transformers that knows one processor."""

from __future__ import annotations

import pytest

from preflight_ocr.harness.facts import ProcessorFiles, Unknown
from preflight_ocr.probes.reading.processor_files import look_at_processor_files


def look(plant, exports, **files) -> ProcessorFiles | Unknown:
    site = {"site/transformers/__init__.py": "class KnownProcessor: ...\n"}
    planted = {f"model/{name.replace('__', '.')}": content for name, content in files.items()}
    return look_at_processor_files(plant({**site, "model/keep": "", **planted}) / "model", exports)


def test_a_class_that_nobody_has_is_told_from_one_that_is_installed(plant, exports):
    ghost = look(plant, exports, processor_config__json={"processor_class": "GhostProcessor", "image_token": "<i>"})
    assert ghost == ProcessorFiles(
        declared_class="GhostProcessor", class_has_code=False, image_token="<i>", mean=None, std=None
    )
    known = look(plant, exports, processor_config__json={"processor_class": "KnownProcessor"})
    assert known == ProcessorFiles(
        declared_class="KnownProcessor", class_has_code=True, image_token=None, mean=None, std=None
    )


def test_an_auto_map_is_code_behind_the_class(plant, exports):
    seen = look(
        plant,
        exports,
        processor_config__json={"processor_class": "OwnProcessor"},
        config__json={"auto_map": {"AutoProcessor": "processing_own.OwnProcessor"}},
    )
    assert isinstance(seen, ProcessorFiles)
    assert seen.class_has_code


def test_mean_and_std_are_found_in_either_file_and_in_the_nested_form(plant, exports):
    seen = look(plant, exports, preprocessor_config__json={"image_mean": [0.5, 0.5, 0.5], "image_std": 0.5})
    assert isinstance(seen, ProcessorFiles)
    assert (seen.mean, seen.std) == ((0.5, 0.5, 0.5), (0.5,))
    nested = look(
        plant, exports, preprocessor_config__json={}, processor_config__json={"image_processor": {"image_mean": [1, 2]}}
    )
    assert isinstance(nested, ProcessorFiles)
    assert nested.mean == (1.0, 2.0)


def test_no_processor_file_is_unknown(plant, exports):
    assert isinstance(look(plant, exports), Unknown)


@pytest.mark.parametrize("junk", [b"\xff\x00", '{"a":\n 1,}', b'{"a":' * 300_000, "[]"])
def test_a_broken_processor_file_is_unknown_and_named(plant, exports, junk):
    seen = look(plant, exports, processor_config__json=junk)
    assert isinstance(seen, Unknown)
    assert "processor_config.json" in seen.reason


def test_strange_values_are_passed_over(plant, exports):
    strange = {"image_mean": "half", "image_std": [], "image_token": 3, "processor_class": 5, "auto_map": []}
    assert look(plant, exports, processor_config__json=strange) == ProcessorFiles(
        declared_class=None, class_has_code=False, image_token=None, mean=None, std=None
    )


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "1" + "0" * 400])
def test_a_number_that_facts_cannot_carry_is_passed_over(plant, exports, number):
    assert look(plant, exports, processor_config__json=f'{{"image_mean": [0.5, {number}]}}') == ProcessorFiles(
        declared_class=None, class_has_code=False, image_token=None, mean=None, std=None
    )
