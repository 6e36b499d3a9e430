"""The module of the user's that lies around the model, whoever of them made it."""

from __future__ import annotations

from preflight_ocr.harness.facts import Facts, Unknown, Wrapper


def find_wrapper(facts: Facts) -> Wrapper | Unknown | None:
    """The loader's wrapper, else the one that the adapter step made; None where both are known to have made none."""
    loaded = facts.forward if isinstance(facts.forward, Unknown) else facts.forward.wrapper
    if loaded is not None:
        return loaded
    return facts.adapter if isinstance(facts.adapter, Unknown) else facts.adapter.wrapper


def excuse_wrapper(facts: Facts) -> str:
    """Why nobody knows whether there is one; "" where that is known."""
    wrapper = find_wrapper(facts)
    return wrapper.reason if isinstance(wrapper, Unknown) else ""
