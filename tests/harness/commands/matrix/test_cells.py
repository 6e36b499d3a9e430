"""Which cells there are, and that tox.ini says the same."""

from __future__ import annotations

import configparser
import itertools
import re

import pytest
import yaml
from packaging.requirements import Requirement

from preflight_ocr.harness.commands.matrix.cells import (
    PEFT,
    TRANSFORMERS,
    VARIED,
    Cell,
    choose_cells,
    list_cells,
    make_cell,
)
from preflight_ocr.harness.config.errors import UserError
from tests.support.places import ROOT

TOX = ROOT / "tox.ini"


def expand(pattern: str) -> list[str]:
    """ "a{1,2}-b{3}" as tox expands it."""
    parts = [part.split(",") if number % 2 else [part] for number, part in enumerate(re.split(r"[{}]", pattern))]
    return ["".join(choice) for choice in itertools.product(*parts)]


@pytest.fixture
def tox() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(TOX, encoding="utf-8")
    return parser


def test_tox_has_the_cells_of_the_list_in_its_order_and_no_other(tox):
    pattern = tox["tox"]["env_list"].partition("}, ")[0] + "}"
    assert expand(pattern) == [cell.name for cell in list_cells()]
    assert f"testenv:{pattern}" in tox
    assert tox["testenv:report"]["depends"] == pattern


def test_tox_installs_in_each_cell_what_the_list_says(tox):
    section = next(tox[name] for name in tox.sections() if name.startswith("testenv:tf"))
    lines = [line.partition(": ") for line in section["deps"].strip().splitlines()]
    for cell in list_cells():
        factors = cell.name.split("-")
        assert sorted(pin for factor, _, pin in lines if factor in factors) == sorted(cell.requirements)


def test_tox_shares_all_but_what_varies(tox):
    command = next(tox[name] for name in tox.sections() if name.startswith("testenv:tf"))["install_command"]
    assert f"--vary {','.join(VARIED)} " in command


def test_the_workflow_has_the_same_cells_and_runs_them_with_tox():
    workflow = yaml.safe_load((TOX.parent / ".github" / "workflows" / "matrix.yml").read_text("utf-8"))
    job = workflow["jobs"]["cell"]
    assert job["strategy"]["matrix"] == {"transformers": list(TRANSFORMERS), "peft": list(PEFT)}
    assert "tox -e tf${{ matrix.transformers }}-peft${{ matrix.peft }}" in [step.get("run") for step in job["steps"]]


def test_a_cell_asks_for_exact_releases():
    assert all(str(Requirement(line).specifier).startswith("==") for cell in list_cells() for line in cell.requirements)


def test_names_and_patterns_choose_cells_in_order_and_each_once():
    chosen = choose_cells(["tf5.23.0-peft0.21.2", "tf4.46.3-*", "tf4.46.3-peft0.13.2"])
    assert [cell.name for cell in chosen] == [
        "tf4.46.3-peft0.13.2",
        "tf4.46.3-peft0.15.2",
        "tf4.46.3-peft0.18.1",
        "tf4.46.3-peft0.21.2",
        "tf5.23.0-peft0.21.2",
    ]


def test_a_release_that_is_not_listed_gets_the_accelerate_of_the_one_before_it():
    assert choose_cells(["tf4.55.4-peft0.17.1"]) == (
        Cell(transformers="4.55.4", peft="0.17.1", accelerate=make_cell("tf4.51.3-peft0.13.2").accelerate),
    )


@pytest.mark.parametrize("name", ["newest", "tf5.23.0", "peft0.21.2-tf5.23.0", "tf5.23.0-peft0.21.2; rm -rf x", ""])
def test_what_names_no_releases_is_refused(name):
    with pytest.raises(UserError, match="expected a cell as"):
        make_cell(name)


def test_a_pattern_that_fits_nothing_is_refused_with_the_cells_there_are():
    with pytest.raises(UserError, match=r"no cell is like 'tf6\.\*'; there are tf4\.46\.3-peft0\.13\.2"):
        choose_cells(["tf6.*"])
