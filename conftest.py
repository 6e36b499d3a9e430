"""What holds for every test: no network, one thread per process, `gpu` tests skipped where there is no accelerator.

The whole suite is spread over the cores; what is named, `-m gpu` and `--pdb` run in this process.
"""

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


MOST_WORKERS = 8
"""Each holds torch, a warm process to fork from and the children of a check: 2 GB and more."""


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run on every core where the whole suite was asked for and nothing was said with `-n`.

    An option in `addopts` would fail where xdist is switched off (`-p no:xdist`), and would start workers for one file.
    """
    option = config.option
    is_whole = config.args_source is not pytest.Config.ArgsSource.ARGS and "gpu" not in option.markexpr
    is_told = option.collectonly or option.usepdb or not config.pluginmanager.hasplugin("xdist")
    if not is_whole or is_told or hasattr(config, "workerinput") or option.numprocesses is not None or option.tx:
        return
    if (workers := min(_count_cores(), MOST_WORKERS)) > 1:
        option.numprocesses, option.dist = workers, "worksteal"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a `gpu` test with the reason. torch is imported only when one of them was really chosen."""
    if item.get_closest_marker("gpu") and (reason := _missing_accelerator()):
        pytest.skip(reason)


def _count_cores() -> int:
    """Those that this process may use, where the system tells that."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


@functools.cache
def _missing_accelerator() -> str | None:
    if importlib.util.find_spec("torch") is None:
        return "torch is not installed"
    import torch

    if not torch.cuda.is_available():
        return f"no accelerator: torch {torch.__version__} sees no CUDA device"
    return None
