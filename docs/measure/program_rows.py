"""A few rendered pages in the form of the data sets that public programs name."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from preflight_ocr.fixtures.pages import render_pages

COUNT = 16
ASKED = "What does the page say?"
Row = dict[str, Any]


def write_rows(path: Path, form: str) -> None:
    """Write the pages to `path`, a folder or a file, as the data set called `form` has them."""
    with tempfile.TemporaryDirectory(prefix="rows-") as name:
        source = Path(name)
        render_pages(source, count=COUNT, seed=7, kind="lines")
        rows = json.loads((source / "metadata.json").read_text(encoding="utf-8"))
        path.parent.mkdir(parents=True, exist_ok=True)
        FORMS[form](path, source, rows)


def _write_splits(path: Path, source: Path, rows: list[Row], make: Callable[[Row, Any], Row], features: Any) -> None:
    import datasets

    made = [make(row, {"bytes": (source / row["image_path"]).read_bytes(), "path": None}) for row in rows]
    content = {name: [row[name] for row in made] for name in made[0]}
    whole = datasets.Dataset.from_dict(content, features=datasets.Features(features))
    path.mkdir(parents=True)
    for split in ("train", "validation", "test"):
        whole.to_parquet(path / f"{split}-00000-of-00001.parquet")


def _vqa(path: Path, source: Path, rows: list[Row]) -> None:
    """merve/vqav2-small."""
    from datasets import Image, Value

    features = {"multiple_choice_answer": Value("string"), "question": Value("string"), "image": Image()}
    _write_splits(
        path,
        source,
        rows,
        lambda row, image: {"multiple_choice_answer": row["text"], "question": ASKED, "image": image},
        features,
    )


def _docvqa(path: Path, source: Path, rows: list[Row]) -> None:
    """HuggingFaceM4/DocumentVQA."""
    from datasets import Image, List, Value

    features = {"question": Value("string"), "image": Image(), "answers": List(Value("string"))}
    _write_splits(
        path, source, rows, lambda row, image: {"question": ASKED, "image": image, "answers": [row["text"]]}, features
    )


def _cord(path: Path, source: Path, rows: list[Row]) -> None:
    """naver-clova-ix/cord-v2."""
    from datasets import Image, Value

    def make(row: Row, image: Any) -> Row:
        return {"image": image, "ground_truth": json.dumps({"gt_parse": {"menu": {"nm": row["text"]}}})}

    _write_splits(path, source, rows, make, {"image": Image(), "ground_truth": Value("string")})


def _llava(path: Path, source: Path, rows: list[Row]) -> None:
    """HuggingFaceH4/llava-instruct-mix-vsft."""
    from datasets import Image, List, Value

    def make(row: Row, image: Any) -> Row:
        asked = [{"index": 0, "text": None, "type": "image"}, {"index": None, "text": ASKED, "type": "text"}]
        said = [{"index": None, "text": row["text"], "type": "text"}]
        turns = [{"content": asked, "role": "user"}, {"content": said, "role": "assistant"}]
        return {"messages": turns, "images": [image]}

    part = {"index": Value("int64"), "text": Value("string"), "type": Value("string")}
    features = {"messages": List({"content": List(part), "role": Value("string")}), "images": List(Image())}
    _write_splits(path, source, rows, make, features)


def _llava_plain(path: Path, source: Path, rows: list[Row]) -> None:
    """trl-lib/llava-instruct-mix: prompt and completion."""
    from datasets import Image, List, Value

    def make(row: Row, image: Any) -> Row:
        prompt, completion = {"content": ASKED, "role": "user"}, {"content": row["text"], "role": "assistant"}
        return {"images": [image], "prompt": [prompt], "completion": [completion]}

    turns = List({"content": Value("string"), "role": Value("string")})
    _write_splits(path, source, rows, make, {"images": List(Image()), "prompt": turns, "completion": turns})


def _keep_pages(folder: Path, source: Path, rows: list[Row]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for row in rows:
        shutil.copy(source / row["image_path"], folder / row["image_path"])


def _llama_factory(path: Path, source: Path, rows: list[Row]) -> None:
    """A folder with dataset_info.json, ShareGPT's form with `<image>`."""
    _keep_pages(path, source, rows)
    columns = {"messages": "messages", "images": "images"}
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    info = {"pages": {"file_name": "pages.json", "formatting": "sharegpt", "columns": columns, "tags": tags}}
    made = [
        {
            "messages": [
                {"role": "user", "content": f"<image>{ASKED}"},
                {"role": "assistant", "content": row["text"]},
            ],
            "images": [row["image_path"]],
        }
        for row in rows
    ]
    (path / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")
    (path / "pages.json").write_text(json.dumps(made), encoding="utf-8")


def _swift(path: Path, source: Path, rows: list[Row]) -> None:
    """A folder with pages.jsonl as ms-swift reads it; its pages are named from the working directory."""
    _keep_pages(path, source, rows)
    made = [
        {
            "messages": [
                {"role": "user", "content": f"<image>{ASKED}"},
                {"role": "assistant", "content": row["text"]},
            ],
            "images": [f"{path.name}/{row['image_path']}"],
        }
        for row in rows
    ]
    (path / "pages.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in made), encoding="utf-8")


def _share_gpt(path: Path, source: Path, rows: list[Row]) -> None:
    """A folder with data.json, LLaVA's form, and its pages."""
    _keep_pages(path, source, rows)
    made = [
        {
            "id": str(number),
            "image": row["image_path"],
            "conversations": [
                {"from": "human", "value": f"<image>\n{ASKED}"},
                {"from": "gpt", "value": row["text"]},
            ],
        }
        for number, row in enumerate(rows)
    ]
    (path / "data.json").write_text(json.dumps(made), encoding="utf-8")


def _roboflow(path: Path, source: Path, rows: list[Row]) -> None:
    """A folder with train, valid and test, each with annotations.jsonl of image, prefix and suffix."""
    for split in ("train", "valid", "test"):
        _keep_pages(path / split, source, rows)
        made = [{"image": row["image_path"], "prefix": ASKED, "suffix": row["text"]} for row in rows]
        text = "".join(f"{json.dumps(row)}\n" for row in made)
        (path / split / "annotations.jsonl").write_text(text, encoding="utf-8")


def _lines(path: Path, source: Path, rows: list[Row]) -> None:
    """IAM as Microsoft hands it out: gt_test.txt beside the folder image."""
    _keep_pages(path / "image", source, rows)
    text = "".join(f"{row['image_path']}\t{' '.join(row['text'].split())}\n" for row in rows)
    (path / "gt_test.txt").write_text(text, encoding="utf-8")


FORMS: dict[str, Callable[[Path, Path, list[Row]], None]] = {
    "vqa": _vqa,
    "docvqa": _docvqa,
    "cord": _cord,
    "llava": _llava,
    "llava plain": _llava_plain,
    "llama factory": _llama_factory,
    "swift": _swift,
    "sharegpt": _share_gpt,
    "roboflow": _roboflow,
    "lines": _lines,
}
