"""Gradient checkpointing for a LoRA on a model that writes image features into its embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

NOT_REENTRANT: Mapping[str, Any] = {"use_reentrant": False}


def start_checkpointing(model: nn.Module, settings: Mapping[str, Any] | None = None) -> None:
    """Recompute activations in backward. Call it after the adapter is attached.

    transformers 5 makes the embeddings' output require gradients whenever checkpointing is switched on. Only the
    re-entrant kind needs that, and a model that writes features into its embeddings in place cannot bear it ("a view of a
    leaf Variable that requires grad"), so it is undone for the other kind.
    """
    chosen = dict(NOT_REENTRANT if settings is None else settings)
    inner: Any = model
    inner.gradient_checkpointing_enable(gradient_checkpointing_kwargs=chosen)
    if chosen.get("use_reentrant") is False:
        forget_input_gradients(model)


def stop_checkpointing(model: nn.Module) -> None:
    """Undo `start_checkpointing`, the hook on the embeddings included."""
    inner: Any = model
    inner.gradient_checkpointing_disable()
    forget_input_gradients(model)


def forget_input_gradients(model: nn.Module) -> None:
    """Remove the hook that makes embeddings require gradients, where one is set."""
    inner: Any = model
    if getattr(inner, "_require_grads_hook", None) is not None or getattr(inner, "_require_grads_hooks", None):
        inner.disable_input_require_grads()
