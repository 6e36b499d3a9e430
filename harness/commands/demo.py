"""What a newcomer's first command works on: the miniature, a few rendered pages, and a configuration that uses both."""

from __future__ import annotations

from pathlib import Path

from preflight_ocr.harness import atomic

_CONFIG = """\
# Written by `preflight demo`: edit it, then type
#   preflight check {name}
#   run-training --config {name}
model:
  base_model: {model}
  torch_dtype: float32
  attn_implementation: eager
  trust_remote_code: true   # the miniature's code is ours
lora:
  r: 8
  lora_alpha: 16
  task_type: CAUSAL_LM
  target_modules: [q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj]
training:
  output_dir: {output}
  max_steps: 60
  per_device_train_batch_size: 4
  gradient_accumulation_steps: 1
  learning_rate: 3.0e-3
  logging_steps: 10
  save_steps: 30
  eval_steps: 30
  eval_strategy: steps
  remove_unused_columns: false
  use_cpu: true
  seed: 42
data:
  train_path: {train}
  val_path: {val}
  max_seq_length: 512
  preprocessing: {{base_size: 256}}   # the real model's 1024 would only make a miniature slow
"""


def prepare(directory: Path) -> Path:
    """Render pages into `directory` and write the configuration; returns its path. Raises OSError."""
    from preflight_ocr import fixtures
    from preflight_ocr.fixtures.pages import render_pages

    directory = directory.absolute()
    model = Path(fixtures.__file__).parent / "models" / "deepseek_ocr"
    render_pages(directory / "pages" / "train", count=120, seed=1, kind="words")
    render_pages(directory / "pages" / "val", count=16, seed=2, kind="words")
    path = directory / "preflight.yaml"
    text = _CONFIG.format(
        name=path.name,
        model=_quote(model),
        output=_quote(directory / "training"),
        train=_quote(directory / "pages" / "train"),
        val=_quote(directory / "pages" / "val"),
    )
    atomic.write_text(path, text)
    return path


def _quote(path: Path) -> str:
    """A YAML single-quoted scalar: backslashes of a Windows path mean nothing in it."""
    return "'" + str(path).replace("'", "''") + "'"
