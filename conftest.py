"""What holds for every test: no network, one thread per process, `gpu` tests skipped where there is no accelerator."""

from __future__ import annotations

import functools
import importlib.util
import os
import tempfile

import pytest

pytest_plugins = ["pytester"]

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # asking whether there is a card must not spoil a later fork
_STATE = tempfile.TemporaryDirectory(prefix="preflight-state-")  # no test signs with the key of whoever runs it
os.environ["XDG_STATE_HOME"] = _STATE.name
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a `gpu` test with the reason. torch is imported only when one of them was really chosen."""
    if item.get_closest_marker("gpu") and (reason := _missing_accelerator()):
        pytest.skip(reason)


@functools.cache
def _missing_accelerator() -> str | None:
    if importlib.util.find_spec("torch") is None:
        return "torch is not installed"
    import torch

    if not torch.cuda.is_available():
        return f"no accelerator: torch {torch.__version__} sees no CUDA device"
    return None
