"""Kills and torn checkpoints: the run that was hit has to end where the run that was left alone ended, bit for bit."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from safetensors.numpy import load_file

from preflight_ocr.fixtures.pages import render_pages
from tests.campaign.tally import Tally
from tests.support.places import MODELS, ROOT

STEPS = 6
_TRAIN = (
    "import sys; from pathlib import Path; import torch; torch.set_num_threads(1);"
    "from preflight_ocr.harness.config.config import load_config;"
    "from preflight_ocr.harness.training.train import train;"
    "train(load_config(Path(sys.argv[1])))"
)


def write_project(folder: Path, *, steps: int = STEPS) -> Path:
    """A project of few small pages that saves after every step, and that goes on from the newest checkpoint."""
    render_pages(folder / "train", count=8, seed=1, kind="words")
    document = {
        "model": {
            "base_model": str(MODELS / "deepseek_ocr"),
            "torch_dtype": "float32",
            "attn_implementation": "eager",
            "trust_remote_code": True,
        },
        "lora": {"r": 4, "lora_alpha": 8, "lora_dropout": 0.1, "target_modules": ["q_proj", "v_proj"]},
        "training": {
            "output_dir": str(folder / "out"),
            "per_device_train_batch_size": 2,
            "max_steps": steps,
            "save_steps": 1,
            "logging_steps": 1,
            "learning_rate": 1e-3,
            "disable_tqdm": True,
            "report_to": "none",
            "resume_from_checkpoint": True,
        },
        "data": {"train_path": str(folder / "train"), "preprocessing": {"base_size": 128, "crop_mode": False}},
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def start(config: Path) -> subprocess.Popen[bytes]:
    """The training of a project in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", _TRAIN, str(config)],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def finish(config: Path, *, seconds: float = 600) -> str:
    """Train to the end; what went wrong, "" for nothing."""
    process = start(config)
    _, said = process.communicate(timeout=seconds)
    return "" if process.returncode == 0 else said.decode("utf-8", "replace").strip()[-300:]


def read_result(config: Path) -> dict[str, bytes]:
    """Name -> bytes of every tensor of the adapter that was saved."""
    weights = load_file(config.parent / "out" / "adapter" / "adapter_model.safetensors")
    return {name: value.tobytes() for name, value in weights.items()}


def kill_at_random(count: int, *, seed: int = 2) -> Tally:
    """kill -9 at random moments until `count` have hit, each run then gone on with to its end."""
    tally, source = Tally(part="kills while training"), random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="campaign-") as place:
        config = write_project(Path(place))
        started = time.monotonic()
        if failed := finish(config):
            tally.note("failed", f"the run that nobody touched failed: {failed}")
            return tally
        whole, duration = read_result(config), time.monotonic() - started
        while tally.tried < count:
            shutil.rmtree(config.parent / "out")
            _one_run(config, whole, tally, source, count, duration)
    return tally


def _one_run(
    config: Path, whole: dict[str, bytes], tally: Tally, source: random.Random, count: int, duration: float
) -> None:
    """A run that is killed up to five times, and what its adapter is in the end."""
    hits: list[str] = []
    for _ in range(min(5, count - tally.tried)):
        process = start(config)
        out = config.parent / "out"
        before = _count_checkpoints(out)
        moment = source.choice(("anywhere", "behind a checkpoint", "behind a checkpoint"))
        if moment == "anywhere":
            _wait(process, source.uniform(0, duration))
        else:
            limit = time.monotonic() + 10 * duration
            while process.poll() is None and _count_checkpoints(out) <= before and time.monotonic() < limit:
                time.sleep(0.002)
            _wait(process, source.uniform(0, 0.2))
        if process.poll() is not None:
            process.communicate()
            break
        process.send_signal(signal.SIGKILL)
        process.communicate()
        hits.append(f"{moment} with {_count_checkpoints(out)} checkpoints")
    failed = finish(config)
    wrong = f"could not go on: {failed}" if failed else "" if read_result(config) == whole else "the adapter differs"
    for number, hit in enumerate(hits):
        last = number == len(hits) - 1
        tally.note("went on to the same bits" if not wrong else "lost", f"{hit}: {wrong}" if wrong and last else "")


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    limit = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < limit:
        time.sleep(0.005)


def _count_checkpoints(out: Path) -> int:
    return len(list(out.glob("checkpoint-*")))


def tear_checkpoints(limit: int | None = None, *, seed: int = 3) -> Tally:
    """Every file of the newest checkpoint halved, emptied, removed, zeroed and with one byte changed; then gone on from."""
    from preflight_ocr.harness.config.config import load_config
    from preflight_ocr.harness.training.train import train

    tally = Tally(part="torn checkpoints")
    with tempfile.TemporaryDirectory(prefix="campaign-") as place:
        config = write_project(Path(place), steps=2)
        train(load_config(config))
        whole, out = read_result(config), config.parent / "out"
        kept = config.parent / "kept"
        shutil.copytree(out, kept)
        attacks = [(name, way) for name in sorted(p.name for p in (kept / "checkpoint-2").iterdir()) for way in _WAYS]
        random.Random(seed).shuffle(attacks)
        for name, way in attacks[:limit]:
            shutil.rmtree(out)
            shutil.copytree(kept, out)
            shutil.rmtree(out / "adapter")
            tear = _WAYS[way](out / "checkpoint-2" / name)
            if not tear:
                continue
            try:
                result = train(load_config(config))
            except BaseException as error:  # noqa: BLE001 - whatever comes out is what is looked for
                tally.note("raised", f"{name} {way}: {type(error).__name__}: {error}")
                continue
            chosen = result.resumed_from.name if result.resumed_from else "begun anew"
            same = read_result(config) == whole
            tally.note(chosen, "" if same else f"{name} {way}: {chosen}, and the adapter differs")
    return tally


def _halve(path: Path) -> bool:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return True


def _empty(path: Path) -> bool:
    path.write_bytes(b"")
    return True


def _remove(path: Path) -> bool:
    path.unlink()
    return True


def _zero(path: Path) -> bool:
    path.write_bytes(bytes(path.stat().st_size))
    return True


def _alter(path: Path) -> bool:
    """One byte in the middle of an entry, of a format that keeps a checksum of it; no other can tell."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        entry = max(archive.infolist(), key=lambda one: one.file_size)
        place = entry.header_offset + 30 + len(entry.filename)
    data = bytearray(path.read_bytes())
    extra = int.from_bytes(data[entry.header_offset + 28 : entry.header_offset + 30], "little")
    data[place + extra + entry.file_size // 2] ^= 0xFF
    path.write_bytes(data)
    return True


_WAYS: dict[str, Callable[[Path], bool]] = {
    "halved": _halve,
    "emptied": _empty,
    "removed": _remove,
    "zeroed": _zero,
    "one byte changed": _alter,
}
