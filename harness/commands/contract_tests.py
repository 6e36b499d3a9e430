"""Facts -> pytest source that tests one model's contract and needs no Preflight to run."""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import msgspec

from preflight_ocr.harness import atomic
from preflight_ocr.harness.check.taking_over import NO_ADAPTER
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
from preflight_ocr.harness.holding.command import Command
from preflight_ocr.harness.isolation import Returned, Sandbox
from preflight_ocr.probes.reading.repository import find_model_directory

TEST_FILE = "test_model_contract.py"
HOLDING = (".train", "._inner_training_loop", "Accelerator.prepare")  # where the written tests can hold a program


Format = tuple[str, str, tuple[int | str | None, ...]]


class NotEnoughFacts(ValueError):
    """Too little is known to write tests that mean anything. The message says what to type next."""


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """The training program that the tests hold by themselves: what is started where, with how many rows in a batch."""

    command: Command
    folder: Path
    rows: int


def write_tests(facts: Facts, config: Config, directory: Path, program: Program | None = None) -> tuple[Path, ...]:
    """Write the tests, and beside them what they stand on.

    That is the program up to its training for a held command, rows of the user's for a collator of the user's own, and else
    a batch. Returns the files written. Raises NotEnoughFacts, and OSError where the folder cannot be written.
    """
    source = write_source(facts, config, program)
    written = [directory / TEST_FILE, directory / "small_model.py"]
    if program is not None:
        written.append(directory / "held_program.py")
    elif config.subject.collator is None:
        written += _run_aside("save_batch", facts, config, directory)
    else:
        written += _run_aside("save_rows", facts, config, directory)
    directory.mkdir(parents=True, exist_ok=True)
    if program is not None:
        atomic.write_text(directory / "held_program.py", write_program(program))
    elif _has_parts(config) and not _uses_ours(config):
        written.append(directory / "config.json")
        whole = msgspec.to_builtins(config, enc_hook=str)
        atomic.write_bytes(written[-1], msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n")
    atomic.write_text(directory / "small_model.py", _render("small_model.py"))
    atomic.write_text(written[0], source)
    return tuple(written)


def write_program(program: Program) -> str:
    """What runs the command up to its training. Raises NotEnoughFacts where that needs more than Python."""
    command = program.command
    if command.kind not in ("script", "module", "console script"):
        raise NotEnoughFacts(
            f"the tests start your program themselves, and this one is {command.kind}: save it as a .py file and give that"
        )
    return _render(
        "held_program.py",
        folder=str(program.folder),
        kind=command.kind,
        target=command.target,
        arguments=list(command.arguments),
        environment=dict(command.environment),
        rows=program.rows,
    )


def _render(name: str, **values: object) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("preflight_ocr.harness.commands"),
        autoescape=False,  # Python source, not HTML; every value goes through repr
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["py"] = _quote
    return environment.get_template(f"{name}.j2").render(**values)


def write_source(facts: Facts, config: Config, program: Program | None = None) -> str:
    """The test file. Equal facts and configurations give equal text; quoted values are Python literals, never code."""
    signature, batch = _find_signature(facts), _find_batch(facts)
    roles = {role: argument for argument, role in _find_roles(facts).items()}
    is_apart = _is_apart(config, batch)
    text = _render(
        TEST_FILE,
        held=program is not None,
        model=str(config.model.directory or config.model.base_model),
        dtype=_find_dtype(facts),
        auto_class=_choose_auto_class(facts),
        trust=config.model.trust_remote_code,
        attention=config.model.attn_implementation,
        subject_model=config.subject.model,
        subject_collator=config.subject.collator,
        subject_peft=config.subject.peft,
        any_part=program is None and _has_parts(config),
        parts_use_ours=_uses_ours(config),
        subject_path=str(config.subject.path),
        config=str(config.source),
        image_token=_find_image_token(facts, batch),
        ends=set() if is_apart else _find_ends(facts, config, batch),
        is_apart=is_apart,
        has_ids="input_ids" in batch.keys,
        has_adapter=not (isinstance(facts.adapter, Unknown) and facts.adapter.reason == NO_ADAPTER),
        formats=_describe(batch),
        needed=[key for key in batch.keys if signature.accepts(key)],
        # Code of the model's own rarely casts what it is given; that of transformers does where it has to.
        pixels=roles.get("pixels", "") if _has_own_code(facts) else "",
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


def save_rows(config: str, trust: bool, names: list[str], dtype: str, directory: str) -> list[str]:
    """In a child: the first two rows as the user's collator gets them. Returns the names of the files."""
    import json

    from preflight_ocr.probes.workbench.assembly import Assembly, restore_form

    target = Path(directory)
    written: list[str] = []

    def keep(content: bytes, kind: str) -> dict[str, str]:
        name = f"row-{len(written)}.{'png' if kind == 'picture' else 'bin'}"
        atomic.write_bytes(target / name, content)
        written.append(name)
        return {"file": name, "as": kind}

    def lay_out(value: object) -> object:
        if isinstance(value, Mapping):
            return {str(name): lay_out(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [lay_out(item) for item in value]
        if isinstance(value, Path):
            return str(value)
        if isinstance(value, bytes):
            return keep(value, "bytes")
        if hasattr(value, "save") and hasattr(value, "convert"):
            buffer = io.BytesIO()
            value.save(buffer, "PNG")
            return keep(buffer.getvalue(), "picture")
        if value is None or isinstance(value, str | int | float | bool):
            return value
        raise ValueError(f"a row holds a {type(value).__name__}, which cannot be written beside the tests")

    with tempfile.TemporaryDirectory(prefix="preflight-") as folder:
        assembly = Assembly(config, trust=trust, folder=Path(folder))
        rows = [lay_out(restore_form(row)) for row in assembly.rows[:2]]
    atomic.write_text(target / "rows.json", json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    return [*written, "rows.json"]


def _run_aside(name: str, facts: Facts, config: Config, directory: Path) -> list[Path]:
    # The tokenizer and the user's dataset may bring code of their own, so that even our own collator runs in a child.
    arguments = {
        "config": str(config.source),
        "trust": config.model.trust_remote_code,
        "names": list(_find_signature(facts).names),
        "dtype": _find_dtype(facts),
        "directory": str(directory.absolute()),
    }
    directory.mkdir(parents=True, exist_ok=True)  # what a child may write to has to be there when it starts
    with Sandbox(preload=("torch", "transformers")) as sandbox:
        target = f"preflight_ocr.harness.commands.contract_tests:{name}"
        ending = sandbox.run(target, arguments, writable=(directory.absolute(),))
    if isinstance(ending, Returned):
        return [directory / written for written in ending.value]
    what = "batch" if name == "save_batch" else "row"
    raise NotEnoughFacts(f"no {what} could be saved beside the tests: {ending}")


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


def _has_parts(config: Config) -> bool:
    return bool(config.subject.model or config.subject.collator or config.subject.peft)


def _uses_ours(config: Config) -> bool:
    """Whether a part of the user's imports Preflight: it then gets the configuration that Preflight makes."""
    parts = (config.subject.model, config.subject.collator, config.subject.peft)
    files = {config.subject.path / f"{part.partition(':')[0].replace('.', '/')}.py" for part in parts if part}
    return any(
        "preflight_ocr" in file.read_text(encoding="utf-8", errors="replace") for file in files if file.is_file()
    )


def _has_own_code(facts: Facts) -> bool:
    return isinstance(facts.repository, Repository) and bool(facts.repository.auto_map)


def _is_apart(config: Config, batch: Batch) -> bool:
    """Whether the target is a sequence of its own, and not the end of input_ids."""
    shapes = {leaf.path: leaf.shape for leaf in batch.leaves}
    if shapes.get("labels") != shapes.get("input_ids"):
        return True
    return _read_json(config, "config.json").get("is_encoder_decoder") is True


def _find_image_token(facts: Facts, batch: Batch) -> int | None:
    """The placeholder's id, where every row that was seen has one."""
    tokenizer = facts.tokenizer
    if not isinstance(tokenizer, Tokenizer) or tokenizer.image is None or isinstance(batch.rows, Unknown):
        return None
    return tokenizer.image.id if all("i" in row.roles for row in batch.rows) else None


def _find_ends(facts: Facts, config: Config, batch: Batch) -> set[int]:
    """The ids that generation stops at, where every row that was seen is trained on its end."""
    if isinstance(batch.rows, Unknown) or not all(row.count("e", row.trained) for row in batch.rows):
        return set()
    ids = _read_json(config, "generation_config.json").get("eos_token_id")
    found = {ids} if isinstance(ids, int) else {i for i in ids or () if isinstance(i, int)}
    eos = facts.tokenizer.eos if isinstance(facts.tokenizer, Tokenizer) else None
    return found | ({eos.id} if eos is not None and eos.id is not None else set())


def _read_json(config: Config, name: str) -> dict[str, Any]:
    directory = find_model_directory(config)
    if isinstance(directory, Unknown) or not (directory / name).is_file():
        return {}
    try:
        content = msgspec.json.decode((directory / name).read_bytes())
    except (OSError, msgspec.DecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def _has_hard_coded_device(facts: Facts) -> bool:
    read = facts.repository.device_sites if isinstance(facts.repository, Repository) else ()
    met = facts.forward.redirected if isinstance(facts.forward, Forward) else ()
    return any(site.kind == "cuda" for site in (*read, *met))


def _describe(batch: Batch) -> list[Format]:
    """One line per tensor path. What lies inside a row's own list may vary in size, but not in rank or channels."""
    lengths = {
        letter: leaf.shape[1]
        for path, letter in (("input_ids", "S"), ("labels", "T"))
        for leaf in batch.leaves
        if leaf.path == path and len(leaf.shape) == 2
    }
    groups: dict[str, list[Leaf]] = {}
    for leaf in batch.leaves:
        if leaf.kind == "tensor":
            groups.setdefault(re.sub(r"\[\d+\]", "[*]", leaf.path, count=1), []).append(leaf)
    formats: list[Format] = []
    for path, leaves in groups.items():
        first = leaves[0]
        if any(
            _name_kind(leaf.dtype) != _name_kind(first.dtype) or len(leaf.shape) != len(first.shape) for leaf in leaves
        ):
            continue
        shape: list[int | str | None]
        if "[*]" in path:
            shape = [size if axis == 1 else None for axis, size in enumerate(first.shape)]
        else:
            shape = [_name_size(axis, size, batch.rows_out, lengths) for axis, size in enumerate(first.shape)]
        formats.append((path, _name_kind(first.dtype), tuple(shape)))
    return formats


def _name_kind(dtype: str | None) -> str:
    """ "float", "bool" or "int": which of each it is, forward sees to by itself or says."""
    name = (dtype or "").removeprefix("torch.")
    return "float" if "float" in name else "bool" if name == "bool" else "int"


def _name_size(axis: int, size: int, rows: int, lengths: Mapping[str, int]) -> int | str | None:
    if axis == 0:
        return "B" if size == rows else None
    return next((letter for letter, length in lengths.items() if length == size), size)


def _quote(value: object) -> str:
    """A Python literal in double quotes where that needs no escaping, as a person would write it."""
    if isinstance(value, set):
        return "{" + ", ".join(map(_quote, sorted(value))) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_quote, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(_quote, value))}{',' if len(value) == 1 else ''})"
    text = repr(value)
    if isinstance(value, str) and text.startswith("'") and '"' not in text:
        return f'"{text[1:-1]}"'
    return text
