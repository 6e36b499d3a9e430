"""The module of the user's that lies around the model, whoever of them made it."""

from __future__ import annotations

from preflight_ocr.harness.facts import Facts, Unknown, Wrapper


def find_wrapper(facts: Facts) -> Wrapper | Unknown | None:
    """The loader's wrapper, else the one that the adapter step made; None where there is neither."""
    loaded = facts.forward if isinstance(facts.forward, Unknown) else facts.forward.wrapper
    if loaded is not None or isinstance(facts.adapter, Unknown):
        return loaded
    made = facts.adapter.wrapper
    return None if isinstance(made, Unknown) else made
