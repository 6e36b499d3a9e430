"""`preflight export`: an adapter, or the model it makes of its base, in a folder that loads by itself and is proved to."""

from __future__ import annotations

import random
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch

from preflight_ocr.fixtures.pages import compose_text, render_text
from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.foreign.files import is_file, read_text
from preflight_ocr.harness.foreign.json_text import BrokenJson, read_json
from preflight_ocr.harness.training.adapter_files import AdapterFiles
from preflight_ocr.harness.training.collate import IGNORED, Collator
from preflight_ocr.harness.training.data import DataError, Rows
from preflight_ocr.harness.training.model import find_dtype, load_model, load_processor
from preflight_ocr.harness.training.reader import Reader
from preflight_ocr.harness.training.train import build_own_collator

_TOLERANCE = {torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 1e-1}
"""By how much logits may differ, as a share of their own spread: what another order of the same sums gives."""

_MOST_OF_EFFECT = 0.25
"""And as a share of what the adapter changes: a difference as large as that would be another adapter."""

_PAGES = (("latin", 256, 64), ("cyrillic", 300, 100))  # script and size in pixels of what both are run on
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".onnx", ".h5", ".msgpack")
_NOT_COPIED = ("README.md", "model.safetensors.index.json", "pytorch_model.bin.index.json", "config.json")
VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes for --max-lora-rank (read in its release 0.26)."""


class ExportError(UserError):
    """What would be handed on is not what was trained, or the folder cannot take it."""


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """Root mean squares over the logits of target tokens. `distance`: exported less base plus adapter; `effect`: base plus
    adapter less base; `spread`: base plus adapter around its mean. `agreement` is the share of tokens with the same best."""

    distance: float
    effect: float
    spread: float
    agreement: float

    def refuse(self, dtype: torch.dtype) -> str | None:
        """Why this is another model; None where it is the same within what `dtype` can hold."""
        name = str(dtype).removeprefix("torch.")
        seen = (
            f"exported logits are {self.distance:.3g} away from those of base plus adapter, "
            f"which spread over {self.spread:.3g}"
        )
        if not self.distance <= _TOLERANCE.get(dtype, 1e-3) * self.spread:
            return f"{seen}; more than {name} explains"
        if self.effect and self.distance > _MOST_OF_EFFECT * self.effect:
            return f"{seen}, and the adapter itself changes them by {self.effect:.3g} only: {name} would round it away"
        return None


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """`remarks` are what to know before serving it."""

    directory: Path
    merged: bool
    dtype: str
    proof: Proof
    remarks: tuple[str, ...]


def refuse_folder(output: Path) -> None:
    """Raise ExportError where something is in the folder already, before anything is loaded."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ExportError(f"{output}: is not empty; name a folder that is not there yet, or empty this one")


def export(
    reader: Reader,
    adapter: AdapterFiles,
    output: Path,
    *,
    merge: bool,
    dtype: str | None,
    measured: Mapping[str, Any] | None,
) -> Exported:
    """Write the folder, load it again, compare, and only then put it in place. Raises ExportError with the figure.

    `measured` is what `preflight evaluate --json` wrote, for the model card.
    """
    wanted = find_dtype(dtype)
    chosen = wanted if isinstance(wanted, torch.dtype) else next(reader.model.parameters()).dtype
    batch = _make_batch(reader.collator)
    trained = _run(reader.model, batch)
    with reader.without_adapter():
        base = _run(reader.model, batch)
    output.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".export-", dir=output.parent))
    loader = reader.config.subject.model
    needs_loader = ""
    try:
        if merge:
            _write_merged(reader, draft, chosen)
            found = _run_again(reader.config, draft, chosen, batch)
        else:
            _write_adapter(reader, adapter, draft, chosen if dtype is not None else None)
            found = _run_adapter(reader, draft, batch)
        proof = _prove(found, trained, base)
        if (reason := proof.refuse(chosen)) is not None and merge and loader is not None:
            # The base needs the user's loader to be what it is; so does what was made of it.
            far = f"loaded by itself, its logits are {proof.distance:.3g} away"
            needs_loader = f"{far}; load it with {loader}, as the base model is"
            proof = _prove(_run_again(reader.config, draft, chosen, batch, loader=loader), trained, base)
            reason = proof.refuse(chosen)
        if reason is not None:
            raise ExportError(f"not exported: {reason}; give --dtype float32, or report it if that is what was given")
        remarks = (*([needs_loader] if needs_loader else []), *_list_remarks(adapter, proof, merged=merge))
        card = _write_card(reader, adapter, proof, remarks, merged=merge, dtype=chosen, measured=measured)
        (draft / "README.md").write_text(card, encoding="utf-8", newline="\n")
        draft.chmod(0o755)
        if output.exists():
            output.rmdir()
        draft.replace(output)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Exported(
        directory=output, merged=merge, dtype=str(chosen).removeprefix("torch."), proof=proof, remarks=remarks
    )


def _make_batch(collator: Collator) -> dict[str, Any]:
    """Two rendered pages with their texts, of one size each, so that padding is in it."""
    rows = []
    for script, width, height in _PAGES:
        source = random.Random(script)
        text = compose_text(source, script=script, width=width, height=height)
        rows.append({"opened": render_text(text, width=width, height=height, rng=source), "text": text})
    return collator(rows)


@torch.no_grad()
def _run(model: Any, batch: Mapping[str, Any]) -> torch.Tensor:
    """float32 [targets, vocabulary]: the logits at every token that is trained on."""
    device = next(model.parameters()).device
    moved = {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in batch.items()}
    was_training = model.training
    model.eval()
    logits: torch.Tensor = model(**moved).logits
    model.train(was_training)
    marks = batch["labels"] != IGNORED
    kept = logits[marks.to(device)] if logits.shape[:2] == marks.shape else logits.flatten(0, -2)
    return kept.float().cpu()


def _prove(found: torch.Tensor, trained: torch.Tensor, base: torch.Tensor) -> Proof:
    if found.shape != trained.shape:
        seen = f"logits of shape {tuple(found.shape)}, expected {tuple(trained.shape)}"
        raise ExportError(f"not exported: what was written gives {seen}; report this with the model's name")
    return Proof(
        distance=_rms(found - trained),
        effect=_rms(trained - base),
        spread=_rms(trained - trained.mean(-1, keepdim=True)),
        agreement=float((found.argmax(-1) == trained.argmax(-1)).float().mean()),
    )


def _rms(values: torch.Tensor) -> float:
    return float(values.square().mean().sqrt())


def _write_merged(reader: Reader, draft: Path, dtype: torch.dtype) -> None:
    """The merged model with whatever of the base's files it needs beside its weights: its code, its tokenizer's files."""
    merged = reader.model.merge_and_unload(safe_merge=True).to(dtype)
    for path in sorted(reader.directory.iterdir()):
        if path.is_file() and path.suffix not in _WEIGHTS and path.name not in _NOT_COPIED:
            shutil.copyfile(path, draft / path.name)
    merged.save_pretrained(str(draft))
    reader.processor.processor.save_pretrained(str(draft))
    _keep_code(reader.directory, draft)


def _keep_code(base: Path, draft: Path) -> None:
    """Where the base brings its own code, the names of its classes, which saving leaves out or points elsewhere."""
    mapped = read_json(base / "config.json")
    names = mapped.get("auto_map") if isinstance(mapped, dict) else None
    if names:
        path = draft / "config.json"
        written = read_json(path)
        assert isinstance(written, dict)
        path.write_bytes(msgspec.json.format(msgspec.json.encode({**written, "auto_map": names}), indent=2) + b"\n")


def _run_again(
    config: Config, draft: Path, dtype: torch.dtype, batch: Mapping[str, Any], *, loader: str | None = None
) -> torch.Tensor:
    """What the exported folder computes, loaded as anybody would, or by the user's `loader`; its own processor has to make
    the same batch."""
    name = str(dtype).removeprefix("torch.")
    model = msgspec.structs.replace(config.model, base_model=str(draft), revision=None, torch_dtype=name)
    subject = msgspec.structs.replace(config.subject, model=loader, collator=None)
    alone = msgspec.structs.replace(config, model=model, subject=subject)
    loaded = load_model(alone)
    again = _make_batch(build_own_collator(alone, loaded, load_processor(alone), cached=False))
    if not torch.equal(again["labels"], batch["labels"]):
        raise ExportError(
            "not exported: the processor that was written makes other tokens than the base model's; report this"
        )
    return _run(loaded, again)


def _write_adapter(reader: Reader, adapter: AdapterFiles, draft: Path, dtype: torch.dtype | None) -> None:
    """The adapter under PEFT's names, with the base as it is known to others, and what prepares text and pictures."""
    if dtype is not None:
        for name, parameter in reader.model.named_parameters():
            if "lora_" in name:
                parameter.data = parameter.data.to(dtype)
    reader.model.save_pretrained(str(draft))
    reader.processor.processor.save_pretrained(str(draft))
    path = draft / "adapter_config.json"
    written = read_json(path)
    assert isinstance(written, dict)
    base, revision = _name_base(reader, adapter)
    settings = {**written, "base_model_name_or_path": base, "revision": revision, "inference_mode": True}
    path.write_bytes(msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n")
    generation = reader.directory / "generation_config.json"
    if is_file(generation):
        shutil.copyfile(generation, draft / generation.name)


def _run_adapter(reader: Reader, draft: Path, batch: Mapping[str, Any]) -> torch.Tensor:
    """What the exported adapter computes on the same base."""
    reader.model.load_adapter(str(draft), adapter_name="exported")
    reader.model.set_adapter("exported")
    found = _run(reader.model, batch)
    reader.model.set_adapter("default")
    return found


def _name_base(reader: Reader, adapter: AdapterFiles) -> tuple[str, str | None]:
    return reader.config.model.base_model, reader.config.model.revision or adapter.settings.get("revision")


def _list_remarks(adapter: AdapterFiles, proof: Proof, *, merged: bool) -> Iterator[str]:
    """What vLLM's adapter loading would refuse, as far as its rules can be read, and what looks odd."""
    if not proof.effect:
        yield "the adapter changes no logit: it was not trained, or its weights are not those of the run"
    if merged:
        return
    settings, rank = adapter.settings, adapter.settings.get("r")
    if settings.get("modules_to_save"):
        yield "vLLM loads no adapter with modules_to_save; export with --merge"
    if settings.get("use_dora"):
        yield "vLLM loads no DoRA adapter; export with --merge"
    if settings.get("bias", "none") != "none":
        yield "vLLM loads no adapter with biases; export with --merge"
    odd = [name for name in adapter.shapes if not re.search(r"\.lora_(A|B)\.weight$|\.lora_embedding_(A|B)$", name)]
    if odd and not settings.get("modules_to_save"):
        yield f"vLLM knows no weight with a name such as {odd[0]}; export with --merge"
    ranks = [*(settings.get("rank_pattern") or {}).values(), rank]
    largest = max((number for number in ranks if isinstance(number, int)), default=0)
    fitting = next((number for number in VLLM_RANKS if number >= largest), None)
    if fitting is None:
        yield f"vLLM takes ranks up to {VLLM_RANKS[-1]}, and this adapter has {largest}; export with --merge"
    elif fitting > 16:
        yield f"start vLLM with --max-lora-rank {fitting}"


def _write_card(
    reader: Reader,
    adapter: AdapterFiles,
    proof: Proof,
    remarks: Sequence[str],
    *,
    merged: bool,
    dtype: torch.dtype,
    measured: Mapping[str, Any] | None,
) -> str:
    """The model card, with the front matter that the hub reads."""
    base, revision = _name_base(reader, adapter)
    shown = Path(base).name if Path(base).exists() else base  # a path of this machine tells nobody anything
    licence = _find_licence(reader.directory)
    head = {
        "base_model": shown,
        "library_name": "transformers" if merged else "peft",
        "pipeline_tag": "image-text-to-text",
        "tags": ["ocr", "lora", *(["merged"] if merged else [])],
    } | ({"license": licence} if licence else {})
    front = msgspec.yaml.encode(head).decode("utf-8")
    lora = adapter.settings
    rows = list(_describe_rows(reader.config))
    lines = [
        f"---\n{front}---",
        f"# {shown}, fine-tuned to read pages" if merged else f"# LoRA adapter for {shown}, to read pages",
        f"Base model: `{shown}`{f', revision `{revision}`' if revision else ''} ({reader.collator.family.shown}).",
        f"Licence: {licence or 'not stated in the base model card; look it up before you hand this on'}.",
        "## Training",
        f"LoRA, rank {lora.get('r')}, alpha {lora.get('lora_alpha')}, on {_list_targets(lora)}. Prompt: "
        f"{f'`{reader.config.data.prompt}`' if reader.config.data.prompt else 'the one of the model family'}.",
        *(rows or ["Nothing is recorded of the data."]),
        "## Measured",
        *(
            _describe_measured(measured)
            if measured
            else ["Nothing is recorded; `preflight evaluate --json` measures it."]
        ),
        "## Use",
        _show_use(reader, merged=merged),
        "## How this folder was checked",
        f"Loaded again in {str(dtype).removeprefix('torch.')}, its logits on two rendered pages are {proof.distance:.3g} "
        f"(root mean square) away from those of base plus adapter, which spread over {proof.spread:.3g}; "
        f"the adapter changes them by {proof.effect:.3g}. "
        f"The best token is the same at {proof.agreement:.1%} of the positions.",
        *(f"- {remark}" for remark in remarks),
    ]
    return "\n\n".join(lines) + "\n"


def _list_targets(settings: Mapping[str, Any]) -> str:
    targets = settings.get("target_modules")
    return ", ".join(sorted(map(str, targets))) if isinstance(targets, list) else f"modules that match {targets}"


def _describe_rows(config: Config) -> Iterator[str]:
    for name, path in (("trained on", config.data.train_path), ("held out", config.data.val_path)):
        if path is not None:
            try:
                yield f"Rows {name}: {len(Rows(path)):,}."
            except DataError:
                yield f"Rows {name}: not at hand when this was exported."


def _describe_measured(measured: Mapping[str, Any]) -> Iterator[str]:
    try:
        steps = ", ".join(measured["normalise"]) or "nothing normalised"
        rows = [
            f"| {side} | {one['rows']} | {_show(one['cer'])} | {_show(one['wer'])} | {_show(one['exact'])} |"
            for side, one in measured["sides"].items()
        ]
    except (KeyError, TypeError, AttributeError):
        raise ExportError("the file of --metrics is not what `preflight evaluate --json` writes; give that") from None
    yield f"On the {measured.get('split')} rows, {steps}, with 95 % bootstrap intervals:"
    yield "\n".join(["| | rows | CER | WER | exact rows |", "| --- | --- | --- | --- | --- |", *rows])


def _show(interval: Mapping[str, float]) -> str:
    return f"{interval['value']:.3f} ({interval['low']:.3f} to {interval['high']:.3f})"


def _show_use(reader: Reader, *, merged: bool) -> str:
    trust = ", trust_remote_code=True" if reader.config.model.trust_remote_code else ""
    load = [f"from transformers import AutoProcessor, {reader.collator.family.auto_class}"]
    if merged:
        load += ["", f'model = {reader.collator.family.auto_class}.from_pretrained("THIS_FOLDER"{trust})']
    else:
        load += [
            "from peft import PeftModel",
            "",
            f'base = {reader.collator.family.auto_class}.from_pretrained("BASE_MODEL"{trust})',
            'model = PeftModel.from_pretrained(base, "THIS_FOLDER")',
        ]
    read = "preflight predict --adapter THIS_FOLDER scans/ -o read.jsonl"
    served = "" if merged else "\n\nvLLM: `vllm serve BASE_MODEL --enable-lora --lora-modules ocr=THIS_FOLDER`."
    shown = "\n".join(load)
    return f"```python\n{shown}\n```" + ("" if merged else f"\n\n```bash\n{read}\n```") + served


def _find_licence(base: Path) -> str | None:
    """What the base model's own card states."""
    try:
        text = read_text(base / "README.md")
    except (OSError, UnicodeDecodeError):
        return None
    match = re.search(r"\A---\n.*?^license:[ \t]*([^\n#]{1,80})", text, re.MULTILINE | re.DOTALL)
    return match[1].strip().strip("'\"") if match else None


def read_measured(path: Path) -> Mapping[str, Any]:
    """What `preflight evaluate --json` wrote. Raises ExportError."""
    try:
        found = read_json(path)
    except (BrokenJson, OSError) as error:
        raise ExportError(
            f"{path}: {getattr(error, 'strerror', None) or error}; give what `preflight evaluate --json` wrote"
        ) from None
    if not isinstance(found, dict) or "sides" not in found:
        raise ExportError(f"{path}: is not what `preflight evaluate --json` writes; give that")
    return found
