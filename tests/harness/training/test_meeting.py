"""Processes that wait for each other: here threads of one process around one store, which is what a process sees of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch.distributed

from preflight_ocr.harness.launched import Place, find_place, without_launcher
from preflight_ocr.harness.training import meeting as module
from preflight_ocr.harness.training.meeting import Meeting, RankLost, meet
from preflight_ocr.harness.training.spreading import deal


@pytest.fixture
def gather() -> Callable[..., list[Any]]:
    """Run a function in each of so many ranks at once; what each returned."""

    def gather(work: Callable[[Meeting], Any], size: int = 3) -> list[Any]:
        store, results = torch.distributed.HashStore(), [None] * size

        def run(rank: int) -> None:
            mine = Meeting(Place(rank, size, rank, size), store)
            results[rank] = work(mine)
            mine.part()

        threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        return results

    return gather


def test_what_is_gathered_stands_in_the_order_of_the_ranks(gather):
    assert gather(lambda mine: mine.gather("x", bytes([mine.place.rank]))) == [[b"\0", b"\1", b"\2"], [], []]


def test_all_hear_what_the_first_shares(gather):
    assert gather(lambda mine: mine.share("x", b"yes" if mine.place.is_first else None)) == [b"yes"] * 3


def test_what_is_longer_than_the_store_takes_arrives_whole(gather):
    long = bytes(range(256)) * (3 << 12) + b"end"  # three pieces
    first, *_ = gather(lambda mine: mine.gather("long", long))
    assert first == [long] * 3


def test_a_process_that_left_without_a_word_is_told_of_and_not_waited_for(gather):
    def work(mine: Meeting) -> str:
        if mine.place.is_first:
            return ""
        with pytest.raises(RankLost, match="rank 0 has ended"):
            mine.hear("verdict", 0)
        return "told"

    assert gather(work, size=2) == ["", "told"]


def test_a_process_without_a_sign_of_life_is_given_up(monkeypatch):
    monkeypatch.setattr(module, "SILENCE", 0.3)
    mine = Meeting(Place(1, 2, 1, 2), torch.distributed.HashStore())
    with pytest.raises(RankLost, match=r"rank 0 has given no sign of life for 0\.3 s"):
        mine.hear("verdict", 0)


def test_one_that_lives_is_waited_for_longer_than_the_silence_that_is_borne(monkeypatch, gather):
    monkeypatch.setattr(module, "SILENCE", 0.4)
    monkeypatch.setattr(module, "BEAT", 0.05)

    def work(mine: Meeting) -> bytes:
        if not mine.place.is_first:
            return mine.hear("verdict", 0)
        threading.Event().wait(1.2)
        mine.say("verdict", b"0")
        return b""

    assert gather(work, size=2) == [b"", b"0"]


def test_a_process_that_is_alone_meets_nobody(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with meet() as nobody:
        assert nobody is None


def test_ranks_without_an_address_are_refused_with_what_to_type(monkeypatch):
    for name, value in {"WORLD_SIZE": "2", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(RankLost, match=r"MASTER_ADDR.*torchrun"), meet():
        pass


def test_a_child_of_the_check_does_not_think_that_it_is_one_of_many(monkeypatch):
    told = {
        "RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "a", "MASTER_PORT": "1", "FSDP_VERSION": "2",
        "TORCHELASTIC_RUN_ID": "x", "ACCELERATE_USE_FSDP": "true",
    }  # fmt: skip
    mine = {"PATH": "/bin", "ACCELERATE_MIXED_PRECISION": "bf16", "MY_RANK": "1", "RANKING": "2"}
    mine |= {"ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4"}  # it decides what a step is
    assert without_launcher(told | mine) == mine | {"PREFLIGHT_PROCESSES": "2"}
    # One that is alone may have been told by its user; it waits for nobody.
    own = {"FSDP_VERSION": "2", "ACCELERATE_USE_FSDP": "true"}
    assert without_launcher(told | mine | {"WORLD_SIZE": "1"}) == mine | own
    assert without_launcher(mine | own) == mine | own
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert find_place() == Place(rank=0, size=2, local_rank=0, local_size=1)


@pytest.mark.parametrize(
    ("number", "window", "size"), [(100, 8, 2), (5, 32, 2), (3, 8, 4), (9, 8, 8), (100, 32, 8), (64, 32, 2), (1, 1, 8)]
)
def test_each_row_is_dealt_to_one_rank_and_none_stands_idle_that_could_have_one(number, window, size):
    hands = [
        [index for span in deal(number, window=window, rank=rank, size=size) for index in span] for rank in range(size)
    ]
    assert sorted(index for hand in hands for index in hand) == list(range(number))
    assert sum(bool(hand) for hand in hands) == min(number, size)


def test_windows_that_suffice_for_all_are_those_of_one_process():
    assert deal(100, window=8, rank=0, size=1)[:2] == [range(8), range(8, 16)]
    assert deal(100, window=8, rank=1, size=2)[:2] == [range(8, 16), range(24, 32)]
