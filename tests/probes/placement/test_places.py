"""Whose line is running."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers

import preflight_ocr.probes.placement.places
from preflight_ocr.probes.placement.places import find_library_place, find_owner, find_place


def test_files_belong_to_somebody_or_to_nobody():
    assert find_owner(__file__) == "user"
    assert find_owner("/cache/transformers_modules/ocr/modeling.py") == "model"
    assert find_owner(str(Path(transformers.__file__))) == "library"
    assert find_owner(str(Path(torch.__file__))) is None
    assert find_owner(preflight_ocr.probes.placement.places.__file__) is None
    assert find_owner("<string>") is None


def test_the_innermost_line_that_is_not_a_librarys_is_found():
    site, owner = find_place()  # this line
    assert owner == "user" and site is not None
    assert site.file == "test_places.py" and site.code == "site, owner = find_place()  # this line"


def test_the_innermost_line_outside_torch_may_be_anybodys():
    site = find_library_place()
    assert site is not None and site.file == "test_places.py"
