"""What of a command is not carried out where it is held."""

from __future__ import annotations

import pytest

from preflight_ocr.harness.holding.hooks import Holder


@pytest.fixture
def holder() -> Holder:
    return Holder(take_over=lambda held: None, build=lambda *given: None, tell=lambda said: None, rows=None)


@pytest.mark.parametrize("spelling", ["attn_implementation", "_attn_implementation"])
def test_flash_attention_becomes_plain_attention_in_either_spelling(holder: Holder, spelling: str) -> None:
    assert holder._drop_what_needs_a_card({spelling: "flash_attention_2"}) == {"attn_implementation": "eager"}
    assert "flash_attention_2" in holder.undone[0]


def test_nobody_is_asked_for_a_token_and_one_that_is_given_is_used(holder: Holder) -> None:
    used: list[object] = []

    def login(token: str | None = None, **named: object) -> None:
        used.append(token)

    quiet = holder._ask_nobody("login", login)
    quiet()
    assert used == [] and "nobody is asked" in holder.undone[0]
    quiet(token="hf_given")
    quiet("hf_given")
    assert used == ["hf_given", "hf_given"]
