"""What looking costs, held against what every run has to pay anyway: importing torch and transformers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.support.places import ROOT

MINIATURE = ROOT / "fixtures" / "models" / "deepseek_ocr"
RUNS = 3

LOOK = """
import sys
from pathlib import Path
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.probes.reading.configuration import look_at_configuration
from preflight_ocr.probes.reading.dataset import look_at_dataset
from preflight_ocr.probes.reading.environment import look_at_environment
from preflight_ocr.probes.reading.exports import open_exports
from preflight_ocr.probes.reading.processor_files import look_at_processor_files
from preflight_ocr.probes.reading.repository import find_model_directory, look_at_repository
from preflight_ocr.probes.reading.subject import look_at_subject
from preflight_ocr.probes.reading.tokenizer import look_at_tokenizer

config, exports = load_config(Path(sys.argv[1])), open_exports()
directory = find_model_directory(config)
tokenizer = look_at_tokenizer(directory)
look_at_environment()
look_at_configuration(config, exports)
look_at_repository(directory, exports)
look_at_processor_files(directory, exports)
look_at_subject(config, exports)
dataset = look_at_dataset(config, tokenizer.image.content)
exports.save()
assert [split.rows for split in dataset.splits] == [16, 4], dataset
"""


@pytest.fixture
def measure(tmp_path: Path):
    for split, rows in (("train", 16), ("val", 4)):
        folder = tmp_path / split
        folder.mkdir()
        for row in range(rows):
            Image.effect_noise((640, 160), 40 + row).convert("RGB").save(folder / f"{row}.png")
        metadata = [{"image_path": f"{row}.png", "text": f"line {row}"} for row in range(rows)]
        (folder / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    config = tmp_path / "config.yaml"
    text = f"model: {{base_model: '{MINIATURE}'}}\ndata: {{train_path: train, val_path: val}}\n"
    config.write_text(text, encoding="utf-8")
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "XDG_CACHE_HOME": str(tmp_path),
        "LOCALAPPDATA": str(tmp_path),
    }

    def run(code: str) -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code, str(config)], check=True, env=environment, cwd=tmp_path)
        return time.perf_counter() - started

    return run


@pytest.mark.slow
def test_reading_costs_little_beside_importing_torch_and_transformers(measure):
    """Other work on the machine slows both; the best of several interleaved runs is what is compared."""
    first = measure(LOOK)
    assert first <= 3 + 1, f"the first run, which builds the index of exports, took {first:.2f} s"
    measure("import torch, transformers")
    pairs = [(measure(LOOK), measure("import torch, transformers")) for _ in range(RUNS)]
    read, imports = (min(times) for times in zip(*pairs, strict=True))
    print(f"first {first:.2f} s, read {read:.3f} s, import {imports:.2f} s, ratio {read / imports:.3f}")
    assert read <= 0.15 * imports, f"reading took {read:.3f} s, importing {imports:.2f} s: {read / imports:.2f}"
