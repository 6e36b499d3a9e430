"""What is installed, told from metadata alone."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

from preflight_ocr.harness.facts import InstalledCard, Unknown
from preflight_ocr.probes.reading.environment import look_at_environment


@pytest.fixture
def installed(plant, monkeypatch, tmp_path):
    plant(
        {
            "site/torch-2.5.0+cpu.dist-info/METADATA": "Metadata-Version: 2.1\nName: torch\nVersion: 2.5.0+cpu\n\nText",
            "site/torchvision-0.19.1+cu124.dist-info/METADATA": (
                "Metadata-Version: 2.1\nName: torchvision\nVersion: 0.19.1+cu124\n"
                "Requires-Dist: numpy\nRequires-Dist: torch ==2.4.1\n\nText\nName: nonsense\n"
            ),
            "site/Flash_Attn-2.6.dist-info/METADATA": "Name: Flash_Attn\nVersion: 2.6\n\n",
            "site/broken-1.dist-info/METADATA": b"\xff\xfe\x00",
            "site/empty-1.dist-info/RECORD": "",
            "later/torch-1.0.dist-info/METADATA": "Name: torch\nVersion: 1.0\n\n",
        }
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), str(tmp_path / "later")])


def test_packages_are_listed_by_their_normalised_names_and_the_first_on_the_path_counts(installed):
    assert look_at_environment().packages == {"flash-attn": "2.6", "torch": "2.5.0+cpu", "torchvision": "0.19.1+cu124"}


def test_the_torch_that_torchvision_was_built_for_and_both_builds_are_told(installed):
    seen = look_at_environment()
    assert (seen.torchvision_wants_torch, seen.torch_build, seen.torchvision_build) == ("2.4.1", "cpu", "cu124")


def test_a_release_from_pypi_has_its_build_in_its_version_file_alone(plant, monkeypatch, tmp_path):
    plant(
        {
            "site/torch-2.13.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: torch\nVersion: 2.13.0\n",
            "site/torch/version.py": "__version__ = '2.13.0+cu130'\ncuda = '13.0'\n",
            "site/torchvision-0.28.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: torchvision\nVersion: 0.28.0\n",
        }
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])
    seen = look_at_environment()
    assert (seen.packages["torch"], seen.torch_build, seen.torchvision_build) == ("2.13.0", "cu130", None)


def test_versions_agree_with_the_import_system():
    packages = look_at_environment().packages
    assert packages["torch"] == importlib.metadata.version("torch")
    assert packages["transformers"] == importlib.metadata.version("transformers")


class FakeDriver:
    """Enough of pynvml to describe one card, or to fail with a given error."""

    NVML_ERROR_LIBRARY_NOT_FOUND = 12
    NVML_ERROR_DRIVER_NOT_LOADED = 9

    class NVMLError(Exception):
        def __init__(self, value):
            self.value = value

    def __init__(self, error=None):
        self.error = error

    def nvmlInit(self):
        if self.error is not None:
            raise self.NVMLError(self.error)

    def nvmlShutdown(self): ...

    def nvmlDeviceGetCount(self):
        return 1

    def nvmlDeviceGetHandleByIndex(self, index):
        return index

    def nvmlDeviceGetName(self, handle):
        return b"RTX"

    def nvmlDeviceGetCudaComputeCapability(self, handle):
        return 12, 0

    def nvmlDeviceGetMemoryInfo(self, handle):
        return type("Memory", (), {"total": 16 * 2**30})


def test_a_card_is_described_as_its_driver_describes_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", FakeDriver())
    assert look_at_environment().cards == (InstalledCard(name="RTX", capability="12.0", memory_bytes=16 * 2**30),)


def test_a_machine_without_a_driver_has_no_cards_and_a_silent_driver_is_unknown(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", FakeDriver(error=12))
    assert look_at_environment().cards == ()
    monkeypatch.setitem(sys.modules, "pynvml", FakeDriver(error=999))
    assert isinstance(look_at_environment().cards, Unknown)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert isinstance(look_at_environment().cards, Unknown)


def test_reading_imports_no_heavy_library():
    """PIL is loaded lazily, the others never: not even by looking at all of the modules that read."""
    code = (
        "import sys; from preflight_ocr.probes.reading import configuration, dataset, environment, processor_files, "
        "repository, subject, tokenizer; environment.look_at_environment(); "
        "print([m for m in ('torch', 'transformers', 'peft', 'PIL', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", check=True)
    assert done.stdout.strip() == "[]"
