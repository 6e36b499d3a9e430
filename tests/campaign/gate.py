"""Changes after a check, one at a time: the clearance has to fall, and to say with what.

Each is a kind of thing that a check reads or executes. The times of change are set back where content alone must tell.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from preflight_ocr.harness.config.config import load_config
from tests.campaign.tally import Tally
from tests.support.clearances import clear

MIB = 1 << 20
TEXT = """\
model: {base_model: model, trust_remote_code: true}
data: {train_path: rows, val_path: held_out}
subject: {collator: "parts:collate"}
training: {output_dir: out}
"""
TOUCHED = (
    "elsewhere/masks.py",
    "elsewhere/words.txt",
    "rows/a.png",
    "out/parts/late.py",
    "out/checkpoint-1/state.json",
)
"""What the children of the pretended check said that they imported or opened."""

Change = Callable[[Path], None]


def write_project(folder: Path) -> Path:
    """A project with one of everything that a check is bound to; returns its configuration."""
    rows = json.dumps([{"image_path": "a.png", "text": "a"}, {"image_path": "b.png", "text": "b"}])
    files = {
        "model/config.json": b"{}",
        "model/modeling.py": b"x = 1",
        "model/parts/vision.py": b"y = 1",
        "model/model.safetensors": bytes(3 * MIB),
        "model/pytorch_model.bin": bytes(3 * MIB),
        "rows/metadata.json": rows.encode(),
        "rows/a.png": b"a picture",
        "rows/b.png": b"another picture",
        "held_out/metadata.json": b"[]",
        "parts.py": b"import masks",
        "elsewhere/masks.py": b"def mask(): ...",
        "elsewhere/words.txt": b"one two",
        "linked/late.py": b"z = 1",
        "out/parts/late.py": b"w = 1",
        "out/checkpoint-1/state.json": b"{}",
        "preflight.yaml": TEXT.encode(),
    }
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / "model" / "linked").symlink_to(folder / "linked", target_is_directory=True)
    (folder / "model" / "round").symlink_to(folder / "model", target_is_directory=True)
    return folder / "preflight.yaml"


def put_byte(name: str, place: int) -> Change:
    """Change one byte and set the time of change back: only the content, or the inode's own time, tells."""

    def change(project: Path) -> None:
        path = project / name
        before = path.stat()
        with path.open("r+b") as file:
            file.seek(place, os.SEEK_END if place < 0 else os.SEEK_SET)
            file.write(b"\x01")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    return change


def add(name: str, text: str = "\n# changed") -> Change:
    def change(project: Path) -> None:
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as opened:
            opened.write(text)

    return change


def remove(name: str) -> Change:
    return lambda project: (project / name).unlink()


def replace_picture(project: Path) -> None:
    time.sleep(0.02)
    (project / "rows" / "b.png").write_bytes(b"another PICTURE")


def link_elsewhere(project: Path) -> None:
    (project / "elsewhere" / "masks.py").unlink()
    (project / "elsewhere" / "other.py").write_text("def mask(): return 1", encoding="utf-8")
    (project / "elsewhere" / "masks.py").symlink_to(project / "elsewhere" / "other.py")


CHANGES: dict[str, tuple[Change, str]] = {
    "the last byte of the weights": (put_byte("model/model.safetensors", -1), "model files"),
    "a byte at 2 MiB of a .bin": (put_byte("model/pytorch_model.bin", 2 * MIB), "model files"),
    "the first byte of the weights": (put_byte("model/model.safetensors", 0), "model files"),
    "weights that are gone": (remove("model/pytorch_model.bin"), "model files"),
    "config.json": (add("model/config.json"), "model files"),
    "remote code": (add("model/modeling.py"), "model files"),
    "remote code in a sub-folder": (add("model/parts/vision.py"), "model files"),
    "new remote code": (add("model/parts/new.py"), "model files"),
    "remote code behind a linked folder": (add("linked/late.py"), "model files"),
    "a module in the folder that a run writes to": (add("out/parts/late.py"), "late.py"),
    "a new file without a known ending": (add("model/merges"), "model files"),
    "a row": (add("rows/metadata.json", " "), "rows"),
    "a held-out row": (add("held_out/metadata.json", " "), "rows"),
    "a picture that is gone": (remove("rows/b.png"), "rows"),
    "a picture that was replaced": (replace_picture, "rows"),
    "the collator": (add("parts.py"), "subject"),
    "a new module beside the collator": (add("neighbour.py"), "subject"),
    "the configuration": (add("preflight.yaml"), "configuration"),
    "a helper module of the collator": (add("elsewhere/masks.py"), "masks.py"),
    "a helper module that is gone": (remove("elsewhere/masks.py"), "masks.py"),
    "a helper module that is a link now": (link_elsewhere, "masks.py"),
    "a file that the collator read": (put_byte("elsewhere/words.txt", 0), "words.txt"),
    "the pixels of a picture that was read, size and time kept": (put_byte("rows/a.png", 0), "a.png"),
}


def change_everything(count: int) -> Tally:
    """The first `count` changes of the table, each on a new project with a clearance of its own."""
    tally = Tally(part="gate changes")
    for name, (change, part) in list(CHANGES.items())[:count]:
        with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
            project = Path(folder)
            config = load_config(write_project(project))
            cleared = clear(config, touched=tuple(str(project / touched) for touched in TOUCHED))
            held = cleared.still_holds(config)
            change(project)
            said = cleared.changes(config)
        wrong = "" if held and len(said) == 1 and part in said[0] else f"{name}: held {held}, then said {said}"
        tally.note("refused" if said else "accepted", wrong)
    return tally
