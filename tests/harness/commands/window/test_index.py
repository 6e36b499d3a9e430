"""The index held against what is really installed, and against itself."""

from __future__ import annotations

import importlib
import inspect
from importlib import metadata
from pathlib import Path

import pytest

from preflight_ocr.harness.commands.window.judging import OUTSIDE, Judge
from preflight_ocr.harness.commands.window.releases import INDEX, PACKAGES, Release, open_index, sort_key
from preflight_ocr.probes.reading.definitions import Call

MODULES = (
    "transformers",
    "transformers.cache_utils",
    "transformers.modeling_outputs",
    "transformers.modeling_utils",
    "transformers.training_args",
    "transformers.utils",
    "transformers.utils.import_utils",
    "transformers.models.llama.modeling_llama",
    "peft",
    "peft.tuners.lora",
    "peft.utils",
    "accelerate",
    "accelerate.utils",
)
SIGNATURES = (
    ("transformers", "TrainingArguments"),
    ("transformers", "Trainer"),
    ("transformers", "DynamicCache"),
    ("peft", "LoraConfig"),
    ("peft", "get_peft_model"),
    ("accelerate", "Accelerator"),
)


# Without torchvision the package lists everything in a module of stand-ins, with what they are made of among it.
BY_ACCIDENT = {"DummyObject", "requires_backends"}


def find_installed(package: str) -> Release:
    version = metadata.version(package)
    found = [release for release in open_index(package).releases if release.version == version]
    if not found:
        pytest.skip(
            f"{package} {version} is not in the index; `python -m preflight_ocr.harness.commands.window.build` adds it"
        )
    return found[0]


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_of_an_installed_module_is_in_the_index(module: str) -> None:
    release = find_installed(module.partition(".")[0])
    listed = set(dir(importlib.import_module(module))) - BY_ACCIDENT
    public = sorted(name for name in listed if not name.startswith("_"))
    assert public
    assert [name for name in public if release.resolve(module, name)[0] not in ("found", "undecided")] == []


@pytest.mark.parametrize("module", [name for name in MODULES if "." in name])
def test_every_public_name_of_the_index_is_in_the_installed_module(module: str) -> None:
    release = find_installed(module.partition(".")[0])
    known = release._read(module)
    installed = importlib.import_module(module)
    names = [name for name in getattr(known, "names", {}) if not name.startswith("_")]
    assert len(names) > 3
    missing = [name for name in names if not hasattr(installed, name)]
    assert len(missing) <= len(names) // 5, f"more than branches that did not run here: {missing}"


@pytest.mark.parametrize(("module", "name"), SIGNATURES)
def test_the_index_accepts_the_keywords_that_the_installed_signature_has(module: str, name: str) -> None:
    release = find_installed(module)
    call = find_call(release, module, name)
    parameters = inspect.signature(getattr(importlib.import_module(module), name)).parameters.values()
    plain = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    assert set(call.names) == set(plain)


def find_call(release: Release, module: str, name: str) -> Call:
    function = release.find_function(module, name)
    call = function or Judge(release, {}, {})._find_signature(f"{module}.{name}", "__init__")[0]
    assert call is not None
    return call


@pytest.mark.parametrize("package", PACKAGES)
def test_the_index_holds_one_release_of_every_minor_version_in_order(package: str) -> None:
    keys = [sort_key(version) for version in open_index(package).versions]
    assert keys == sorted(keys)
    assert len({key[:2] for key in keys}) == len(keys) >= 10


def test_all_index_files_together_stay_below_three_mebibytes() -> None:
    assert sum(path.stat().st_size for path in INDEX.iterdir()) < 3 * 2**20


def test_what_a_module_gets_from_torch_is_what_torch_has() -> None:
    import torch

    module = torch.nn.Module()
    # Other libraries hang methods of theirs on this class while they load; only torch's own are asked for.
    own = {
        name
        for name in dir(module)
        if (getattr(getattr(module, name), "__module__", None) or "torch").startswith("torch")
    }
    assert {name for name in own if not name.startswith("_")} <= OUTSIDE


def test_the_index_lies_beside_the_code() -> None:
    assert {path.name for path in Path(INDEX).iterdir()} == {f"{package}.msgpack.xz" for package in PACKAGES}
