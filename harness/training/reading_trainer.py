"""Trainer that also reads: before its first step and at each evaluation it generates on a sample of the held-out rows, and
logs error rates."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import transformers

from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts.run import ReadText, SampleReading, note_reading
from preflight_ocr.harness.launched import find_place
from preflight_ocr.harness.training.collate import Collator
from preflight_ocr.harness.training.data import Rows
from preflight_ocr.harness.training.evaluate import read_together
from preflight_ocr.harness.training.scores import find_constant, normalise, score_row

METRICS = ("cer", "wer")
DEFAULT_SAMPLE = 64
SHOWN = 4
"""Rows of the sample whose texts are kept at each reading, spread over all of it."""


def asked_metric(config: Config) -> str | None:
    """`cer` or `wer` where the best checkpoint is chosen by it, else None."""
    name = (config.training.metric_for_best_model or "").removeprefix("eval_")
    return name if name in METRICS else None


def count_sample(config: Config) -> int:
    """How many rows are read at each evaluation; 0 for none."""
    given = config.evaluation.sample
    return given if given is not None else DEFAULT_SAMPLE if asked_metric(config) else 0


class ReadingTrainer(transformers.Trainer):  # type: ignore[misc]
    """`sample` rows of the evaluated ones are read, the same in every evaluation."""

    reading: Any = None  # a Reading, where rows are read

    def evaluation_loop(self, *given: Any, metric_key_prefix: str = "eval", **named: Any) -> Any:
        """Trainer's own, whose metrics go to the log, to TensorBoard and to the choice of the best checkpoint."""
        output = super().evaluation_loop(*given, metric_key_prefix=metric_key_prefix, **named)
        if self.reading is not None:
            found = self.read_now(self.state.global_step)
            output.metrics.update({f"{metric_key_prefix}_{name}": value for name, value in found.items()})
        return output

    def read_now(self, step: int) -> dict[str, float]:
        """`cer` and `wer` of the sample with the weights as they are, which are those of `step`."""
        rates: dict[str, float] = self.reading.measure(self.accelerator.unwrap_model(self.model), step)
        return rates


class FirstReading(transformers.TrainerCallback):  # type: ignore[misc]
    """The sample is read before the first step as well: without that nobody can say what training has changed."""

    def __init__(self, trainer: ReadingTrainer) -> None:
        self.trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        # Where Trainer evaluates at its start by itself, that is this reading.
        if state.global_step == 0 and not getattr(args, "eval_on_start", False):
            found = self.trainer.read_now(0)
            self.trainer.log({f"eval_{name}": value for name, value in found.items()})


class Reading:
    """The sample of one run. `measure` reads it with the model as it is now, which takes as long as its texts are."""

    def __init__(self, config: Config, collator: Collator, rows: Rows, sample: int) -> None:
        chosen = sorted(random.Random(config.training.seed).sample(range(len(rows)), min(sample, len(rows))))
        self.numbers, self.output_dir = chosen, config.training.output_dir
        self.rows: Sequence[Mapping[str, Any]] = [rows[index] for index in chosen]
        self.collator, self.steps = collator, config.evaluation.normalise
        self.batch_size = config.training.per_device_eval_batch_size
        lengths = (len(collator.tokenizer.encode(row["text"], add_special_tokens=False)) for row in self.rows)
        self.most = config.evaluation.max_new_tokens or 2 * max(lengths) + 1
        texts = [[number, row["text"]] for number, row in zip(chosen, self.rows, strict=True)]
        asked = msgspec.json.encode([texts, list(self.steps), self.most, config.data.prompt])
        self.digest = hashlib.sha256(asked).hexdigest()[:16]
        self.read_at: set[int] = set()

    def measure(self, model: Any, step: int) -> dict[str, float]:
        """`cer` and `wer` over all rows of the sample together, of which each process of the run reads its part.

        The first process notes them with the texts of a few rows. Raises OSError where it cannot.
        """
        read = read_together(model, self.collator, self.rows, batch_size=self.batch_size, max_new_tokens=self.most)
        scores = [
            score_row(normalise(row["text"], self.steps), normalise(text, self.steps))
            for row, text in zip(self.rows, read, strict=True)
        ]
        rates = {
            "cer": sum(score.edits for score in scores) / max(1, sum(score.characters for score in scores)),
            "wer": sum(score.word_edits for score in scores) / max(1, sum(score.words for score in scores)),
        }
        shown = sorted({at * len(self.rows) // SHOWN for at in range(SHOWN)})
        texts = tuple(
            ReadText(
                number=self.numbers[at],
                image=self.rows[at].get("image_path"),
                true=self.rows[at]["text"],
                read=read[at],
                edits=scores[at].edits,
                characters=scores[at].characters,
            )
            for at in shown
        )
        self.read_at.add(step)
        if find_place().is_first:
            found = SampleReading(
                step=step,
                sample=self.digest,
                rows=len(scores),
                cer=rates["cer"],
                wer=rates["wer"],
                edits=tuple(score.edits for score in scores),
                characters=tuple(score.characters for score in scores),
                texts=texts,
                constant=find_constant([(row["text"], text) for row, text in zip(self.rows, read, strict=True)]),
            )
            note_reading(self.output_dir, found)
        return rates
