"""Stages of the rehearsed run: which raised, and why nothing can be said where one was not reached."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from preflight_ocr.harness.facts import Facts, Raised, Unknown
from preflight_ocr.harness.judging.wording import known


def list_raised(facts: Facts, stages: Iterable[str]) -> Iterator[tuple[str, Raised]]:
    """The stages that raised, each with its exception, in their order."""
    for stage in stages:
        ended = getattr(known(facts.rehearsal), stage)
        if isinstance(ended, Raised):
            yield stage, ended


def excuse_stages(facts: Facts, stages: Iterable[str]) -> str:
    """Why a contract on all of these stages cannot be kept: the reason of the first that was not done; "" where all were,
    or where one raised, which is a finding."""
    ended = [getattr(known(facts.rehearsal), stage) for stage in stages]
    if any(isinstance(one, Raised) for one in ended):
        return ""
    return next((str(one.reason) for one in ended if isinstance(one, Unknown)), "")
