"""How a test plants faults and checks: with what the healthy project of the model has already told."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from preflight_ocr.harness.commands.corpus.run import Attempted, Baseline, attempt
from preflight_ocr.harness.commands.corpus.trials import Trial
from preflight_ocr.harness.isolation import Sandbox


@pytest.fixture(scope="session")
def check_healthy(sandbox: Sandbox) -> Callable[[str], tuple[Trial, Baseline]]:
    """model -> its healthy project's trial, and what the children of its check read and saw. Each is checked once."""
    done: dict[str, tuple[Trial, Baseline]] = {}

    def get(model: str) -> tuple[Trial, Baseline]:
        if model not in done:
            attempted = attempt((Trial(faults=(), model=model),), (False,), sandbox=sandbox)
            assert attempted.baseline is not None
            done[model] = attempted.trials[0], attempted.baseline
        return done[model]

    return get


@pytest.fixture(scope="session")
def plant(sandbox: Sandbox, check_healthy: Callable[[str], tuple[Trial, Baseline]]) -> Callable[..., tuple[Trial, ...]]:
    """(model, groups of faults) -> a trial for each group: all in one project, and where that is mixed up each by itself.

    That is what `preflight corpus` does with a bundle.
    """

    def try_together(model: str, groups: Iterable[tuple[str, ...]]) -> Attempted:
        trials = tuple(Trial(faults=group, model=model) for group in groups)
        return attempt(trials, (False,) * len(trials), check_healthy(model)[1], sandbox=sandbox)

    def get(model: str, *groups: tuple[str, ...]) -> tuple[Trial, ...]:
        together = try_together(model, groups)
        if not together.is_mixed_up:
            return together.trials
        return tuple(trial for group in groups for trial in try_together(model, [group]).trials)

    return get
