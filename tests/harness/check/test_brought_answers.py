"""What the collator's child says of the user's trainer, taken into the facts."""

from __future__ import annotations

import msgspec
import pytest

from preflight_ocr.harness.check.children import gather
from preflight_ocr.harness.facts import Brought, Unknown
from tests.specimens import HEALTHY


@pytest.fixture
def take():
    def take(**said):
        brought = Brought(**{"parts": (), "dataset": None, "unbuilt": "", **said})
        answer = {"collator": HEALTHY.collator, "image_calls": (), "brought": brought}
        return gather(HEALTHY, {"collator": msgspec.to_builtins(answer)})

    return take


def test_a_trainer_that_takes_what_it_is_handed_changes_nothing(take):
    facts = take()
    assert facts.collator == HEALTHY.collator
    assert (facts.configuration, facts.dataset) == (HEALTHY.configuration, HEALTHY.dataset)


def test_a_collator_that_the_trainer_brings_is_the_users_own(take):
    facts = take(parts=("collator",))
    assert facts.configuration.replaced_parts == (*HEALTHY.configuration.replaced_parts, "collator")
    assert "brings a collator or rows" in facts.memory.reason


def test_the_rows_are_those_that_the_trainer_brings(take):
    own = Unknown(reason="the rows of subject.trainer cannot be read")
    assert take(parts=("rows",), dataset=own).dataset == own


def test_where_the_trainer_could_not_be_built_nothing_is_said_of_what_it_collates_with(take):
    facts = take(unbuilt="RuntimeError: no tracker here")
    assert isinstance(facts.collator, Unknown) and "RuntimeError: no tracker here" in facts.collator.reason
