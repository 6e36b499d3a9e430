"""Facts -> pytest source that tests one model's contract and needs no Preflight to run."""

from __future__ import annotations

import re
from pathlib import Path

import jinja2

from preflight_ocr.harness import atomic
from preflight_ocr.harness.config.compat import AUTO_CLASSES
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts import (
    Batch,
    Collator,
    Facts,
    Forward,
    Leaf,
    Repository,
    Signature,
    Tokenizer,
    Unknown,
)
from preflight_ocr.harness.isolation import Returned, Sandbox

TEST_FILE = "test_model_contract.py"


Format = tuple[str, str, tuple[int | str | None, ...]]


class NotEnoughFacts(ValueError):
    """Too little is known to write tests that mean anything. The message says what to type next."""


def write_tests(facts: Facts, config: Config, directory: Path) -> tuple[Path, ...]:
    """Write the tests, and beside them a batch where the configuration names no collator of the user's own.

    Returns the files written. Raises NotEnoughFacts, and OSError where the folder cannot be written.
    """
    source = write_source(facts, config)
    written = [directory / TEST_FILE]
    if config.subject.collator is None:
        written += _save_batch(facts, config, directory)
    atomic.write_text(written[0], source)
    return tuple(written)


def write_source(facts: Facts, config: Config) -> str:
    """The test file. Equal facts and configurations give equal text; quoted values are Python literals, never code."""
    signature, batch = _find_signature(facts), _find_batch(facts)
    tokenizer = (
        facts.tokenizer
        if isinstance(facts.tokenizer, Tokenizer)
        else Tokenizer(
            declared_class=None,
            bos=None,
            eos=None,
            pad=None,
            image=None,
            adds_bos=False,
            padding_side=None,
            chat_templates=(),
        )
    )
    roles = {role: argument for argument, role in _find_roles(facts).items()}
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("preflight_ocr.harness.commands"),
        autoescape=False,  # Python source, not HTML; every value goes through repr
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["py"] = _quote
    text = environment.get_template(f"{TEST_FILE}.j2").render(
        model=str(config.model.directory or config.model.base_model),
        dtype=_find_dtype(facts),
        auto_class=_choose_auto_class(facts),
        trust=config.model.trust_remote_code,
        attention=config.model.attn_implementation,
        subject_model=config.subject.model,
        subject_collator=config.subject.collator,
        subject_peft=config.subject.peft,
        any_part=bool(config.subject.model or config.subject.collator or config.subject.peft),
        subject_path=str(config.subject.path),
        config=str(config.source),
        rows=str(config.data.train_path or "."),
        image_token=tokenizer.image.id if tokenizer.image else None,
        eos_token=tokenizer.eos.id if tokenizer.eos else None,
        formats=_describe(batch),
        needed=[key for key in batch.keys if signature.accepts(key)],
        pixels=roles.get("pixels", ""),
        mask=roles.get("placement_mask", ""),
        lora_r=config.lora.r,
        targets=config.lora.target_modules,
        task_type=config.lora.task_type,
        hard_coded=_has_hard_coded_device(facts),
    )
    return re.sub(r"\n{4,}", "\n\n\n", text)


def save_batch(config: str, trust: bool, names: list[str], dtype: str, directory: str) -> list[str]:
    """In a child: our own collator on the first two rows, as tensors and a layout. Returns the names of the files."""
    import json

    import msgspec
    import torch
    from safetensors.torch import save

    from preflight_ocr.harness.config.config import load_config
    from preflight_ocr.harness.families import find_family
    from preflight_ocr.harness.training.collate import build_collator
    from preflight_ocr.harness.training.data import Rows
    from preflight_ocr.harness.training.model import find_directory, load_processor

    loaded = load_config(Path(config))
    loaded = msgspec.structs.replace(loaded, model=msgspec.structs.replace(loaded.model, trust_remote_code=trust))
    folder = find_directory(loaded)
    family = find_family(names, json.loads((folder / "config.json").read_text(encoding="utf-8")))
    if family is None or loaded.data.train_path is None:
        raise ValueError("there is no declared family for this model, or no data.train_path")
    processor = load_processor(loaded)
    collate = build_collator(
        loaded,
        family=family,
        tokenizer=processor.tokenizer,
        processor=processor.processor,
        image_dtype=getattr(torch, dtype),
        directory=folder,
    )
    rows = Rows(loaded.data.train_path)
    tensors: dict[str, torch.Tensor] = {}

    def lay_out(path: str, value: object) -> object:
        if isinstance(value, torch.Tensor):
            tensors[path] = value.detach().clone().contiguous()
            return path
        if isinstance(value, list | tuple):
            return [lay_out(f"{path}[{index}]", item) for index, item in enumerate(value)]
        raise ValueError(f"{path} is a {type(value).__name__}, which cannot be saved")

    batch = collate([rows[index] for index in range(min(2, len(rows)))])
    layout = {name: lay_out(name, value) for name, value in batch.items()}
    target = Path(directory)
    atomic.write_bytes(target / "batch.safetensors", save(tensors))
    atomic.write_text(target / "batch.json", json.dumps(layout, indent=2) + "\n")
    return ["batch.safetensors", "batch.json"]


def _save_batch(facts: Facts, config: Config, directory: Path) -> list[Path]:
    # The tokenizer may bring code of its own, so that even our own collator runs in a child.
    arguments = {
        "config": str(config.source),
        "trust": config.model.trust_remote_code,
        "names": list(_find_signature(facts).names),
        "dtype": _find_dtype(facts),
        "directory": str(directory.absolute()),
    }
    directory.mkdir(parents=True, exist_ok=True)  # what a child may write to has to be there when it starts
    with Sandbox(preload=("torch", "transformers")) as sandbox:
        target = "preflight_ocr.harness.commands.contract_tests:save_batch"
        ending = sandbox.run(target, arguments, writable=(directory.absolute(),))
    if isinstance(ending, Returned):
        return [directory / name for name in ending.value]
    raise NotEnoughFacts(
        f"no batch could be saved beside the tests ({ending}); name your own collator in subject.collator"
    )


def _find_signature(facts: Facts) -> Signature:
    if isinstance(facts.forward, Forward) and isinstance(facts.forward.signature, Signature):
        return facts.forward.signature
    if isinstance(facts.repository, Repository) and isinstance(facts.repository.forward, Signature):
        return facts.repository.forward
    raise NotEnoughFacts("nothing is known of the model's forward; make `preflight check` run first, then try again")


def _find_batch(facts: Facts) -> Batch:
    """A batch this model is known to accept, or else the user's own."""
    if isinstance(facts.collator, Unknown):
        raise NotEnoughFacts(
            f"no batch was seen ({facts.collator.reason}); the tests are written from one. Add --trust, or correct what "
            "`preflight check` reports"
        )
    for batch in (facts.collator.reference, facts.collator.batch):
        if isinstance(batch, Batch):
            return batch
    raise NotEnoughFacts("the collator returned no batch; correct what `preflight check` reports, then try again")


def _find_roles(facts: Facts) -> dict[str, str]:
    return facts.collator.roles if isinstance(facts.collator, Collator) else {}


def _find_dtype(facts: Facts) -> str:
    """The dtype of the images in a batch this model accepts, which is that of its weights."""
    roles = _find_roles(facts)
    pixels = (leaf for leaf in _find_batch(facts).leaves if roles.get(leaf.argument) == "pixels" and leaf.dtype)
    return next((leaf.dtype.removeprefix("torch.") for leaf in pixels), "float32")


def _choose_auto_class(facts: Facts) -> str:
    registered = facts.repository.auto_map if isinstance(facts.repository, Repository) else {}
    return next((name for name in AUTO_CLASSES if name in registered), AUTO_CLASSES[0])


def _has_hard_coded_device(facts: Facts) -> bool:
    read = facts.repository.device_sites if isinstance(facts.repository, Repository) else ()
    met = facts.forward.redirected if isinstance(facts.forward, Forward) else ()
    return any(site.kind == "cuda" for site in (*read, *met))


def _describe(batch: Batch) -> list[Format]:
    """One line per tensor path. What lies inside a row's own list may vary in size, but not in rank or channels."""
    length = next((leaf.shape[1] for leaf in batch.leaves if leaf.path == "input_ids" and len(leaf.shape) == 2), None)
    groups: dict[str, list[Leaf]] = {}
    for leaf in batch.leaves:
        if leaf.kind == "tensor":
            groups.setdefault(re.sub(r"\[\d+\]", "[*]", leaf.path, count=1), []).append(leaf)
    formats: list[Format] = []
    for path, leaves in groups.items():
        first = leaves[0]
        if any(leaf.dtype != first.dtype or len(leaf.shape) != len(first.shape) for leaf in leaves):
            continue
        shape: list[int | str | None]
        if "[*]" in path:
            shape = [size if axis == 1 else None for axis, size in enumerate(first.shape)]
        else:
            shape = [_name_size(axis, size, batch.rows_out, length) for axis, size in enumerate(first.shape)]
        formats.append((path, first.dtype.removeprefix("torch."), tuple(shape)))
    return formats


def _name_size(axis: int, size: int, rows: int, length: int | None) -> int | str | None:
    if axis == 0:
        return "B" if size == rows else None
    return "S" if size == length else size


def _quote(value: object) -> str:
    """A Python literal in double quotes where that needs no escaping, as a person would write it."""
    if isinstance(value, list):
        return f"[{', '.join(map(_quote, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(_quote, value))}{',' if len(value) == 1 else ''})"
    text = repr(value)
    if isinstance(value, str) and text.startswith("'") and '"' not in text:
        return f'"{text[1:-1]}"'
    return text
