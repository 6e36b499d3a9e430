"""The measuring itself: synchronised, warmed up, many times. Takes any `Card`, so that it also runs on a CPU."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import torch

from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.facts import Unknown
from preflight_ocr.probes.accelerator.card import NOT_MEASURED, Card
from preflight_ocr.probes.workbench.batches import IGNORED

WARM_UP = 3  # steps: kernels are chosen, caches filled, the optimizer's states made
PERIOD = 0.05  # seconds between two readings of the driver


class BenchError(UserError):
    """This configuration cannot be measured."""


class Measured(NamedTuple):
    """Repetitions in seconds, and what the card said meanwhile: bytes, percent, watts."""

    seconds: tuple[float, ...]
    allocated: int | Unknown
    reserved: int | Unknown
    overhead: int | Unknown
    utilisation: float | Unknown
    power: float | Unknown


class TrainingStep:
    """One forward, backward and optimizer step as the given Trainer takes it; the batch comes from the CPU each time.

    Raises BenchError for a trainer of the user's that has not the parts of Hugging Face's.
    """

    def __init__(self, trainer: Any, card: Card) -> None:
        needed = ("training_step", "create_optimizer", "accelerator")
        if missing := [name for name in needed if not hasattr(trainer, name)]:
            raise BenchError(
                f"subject.trainer returned a {type(trainer).__name__} without {', '.join(missing)}; only a step of "
                "Hugging Face's Trainer can be measured by itself"
            )
        self.trainer, self.card = trainer, card
        trainer.current_gradient_accumulation_steps = 1  # what its own loop sets before each step
        trainer.create_optimizer()
        self.model, self.optimizer = trainer.accelerator.prepare(trainer.model, trainer.optimizer)
        trainer.optimizer = self.optimizer

    def __call__(self, batch: Mapping[str, Any]) -> torch.Tensor:
        """The loss. Returns when the card is done."""
        loss: torch.Tensor = self.trainer.training_step(self.model, dict(batch))
        if limit := self.trainer.args.max_grad_norm:
            self.trainer.accelerator.clip_grad_norm_(self.model.parameters(), limit)
        self.optimizer.step()
        self.model.zero_grad()
        self.card.synchronize()
        return loss

    def forget(self) -> None:
        """Let go of what a step that did not end has left."""
        self.model.zero_grad()
        self.card.release()


class Gauge:
    """Reads utilisation and power from the driver while the block runs; a card that gives none is not asked again."""

    def __init__(self, card: Card) -> None:
        self.card = card
        self.utilisation: list[float] = []
        self.power: list[float] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Gauge:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._over.set()
        self._thread.join()

    def _read(self) -> None:
        pairs: list[tuple[Callable[[], float | None], list[float]]] = [
            (self.card.read_utilisation, self.utilisation),
            (self.card.read_power, self.power),
        ]
        while pairs and not self._over.is_set():
            readings = [(ask, kept, ask()) for ask, kept in pairs]
            for _, kept, reading in readings:
                if reading is not None:
                    kept.append(reading)
            pairs = [(ask, kept) for ask, kept, reading in readings if reading is not None]
            self._over.wait(PERIOD)


def measure_steps(
    step: Callable[[Mapping[str, Any]], Any], batch: Mapping[str, Any], card: Card, repeats: int
) -> Measured:
    """So many steps on one batch, after a few that do not count."""
    for _ in range(WARM_UP):
        step(batch)
    card.release()
    card.start_peak()
    with Gauge(card) as gauge:
        seconds = repeat(lambda: step(batch), repeats)
    peak, overhead = card.read_peak(), card.read_overhead()
    return Measured(
        seconds=seconds,
        allocated=_or_unknown(None if peak is None else peak.allocated),
        reserved=_or_unknown(None if peak is None else peak.reserved),
        overhead=_or_unknown(overhead),
        utilisation=_average(gauge.utilisation, card),
        power=_average(gauge.power, card),
    )


def measure_collations(collate: Callable[[Any], Any], rows: Sequence[Any], repeats: int) -> tuple[float, ...]:
    """Seconds for one batch of these rows in one process, after one that does not count."""
    collate([dict(row) for row in rows])
    return repeat(lambda: collate([dict(row) for row in rows]), repeats)


def repeat(run: Callable[[], Any], repeats: int) -> tuple[float, ...]:
    """The seconds of each of so many runs."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return tuple(seconds)


def count_tokens(batch: Mapping[str, Any]) -> int:
    """The tokens of a batch without padding: attended ones; labels where an encoder has no tokens."""
    for name in ("attention_mask", "input_ids", "labels"):
        value = batch.get(name)
        if isinstance(value, torch.Tensor) and value.dim() == 2:
            if name == "attention_mask":
                return int(value.bool().sum())
            return int((value != IGNORED).sum())
    return 0


def weigh(batch: Any) -> tuple[int, int]:
    """(tokens, bytes of the rest): what makes one row heavier than another."""
    return (count_tokens(batch), _count_bytes(batch))


def _count_bytes(value: Any) -> int:
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, Mapping):
        return sum(map(_count_bytes, value.values()))
    return sum(map(_count_bytes, value)) if isinstance(value, list | tuple) else 0


def _or_unknown(value: int | None) -> int | Unknown:
    return Unknown(reason=NOT_MEASURED) if value is None else value


def _average(readings: Sequence[float], card: Card) -> float | Unknown:
    if readings:
        return round(fmean(readings), 1)
    reason = NOT_MEASURED if card.device.type == "cpu" else "the driver does not say for this card"
    return Unknown(reason=reason)
