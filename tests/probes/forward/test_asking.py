"""Prompts from the collator's own calls of its processor: which call is whose, and what is not believed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from preflight_ocr.harness.facts import Unknown
from preflight_ocr.probes.forward.asking import Asked, ask
from preflight_ocr.probes.forward.runs import Run

WORDS = ["<pad>", "<end>", "<image>", "read", "this", "again", "one", "two", "three"]


class Processor:
    """Words as tokens, the pictures' own number as pixels; marks every token 0."""

    def __call__(self, text=None, images=None, padding=False, return_tensors=None, **options):
        rows = [[WORDS.index(word) for word in one.split()] for one in text]
        most = max(map(len, rows))
        made = {"input_ids": torch.tensor([row + [0] * (most - len(row)) for row in rows])}
        made["attention_mask"] = torch.tensor([[1] * len(row) + [0] * (most - len(row)) for row in rows])
        if images is not None:
            flat = [picture for one in images for picture in (one if isinstance(one, list) else [one])]
            made["pixel_values"] = torch.tensor(flat, dtype=torch.float32) * options.get("scale", 1)
        return made | {"unknown_to_forward": 1}


class Tokenizer:
    def decode(self, ids):
        return " ".join(WORDS[i] for i in ids)


ROWS = ({"page": 7, "answer": "one"}, {"page": 8, "answer": "two three"})


def make_parts(collate, *, names=("input_ids", "attention_mask", "pixel_values", "labels")):
    return SimpleNamespace(
        reference=None, is_encoder_decoder=False, bare=torch.nn.Linear(1, 1), sample=ROWS, collate=collate,
        processor=Processor(), tokenizer=Tokenizer(), end_ids=frozenset({1}), family=None, forward_names=names,
        no_reference="no batch of ours", seeded=lambda collate, rows: collate([dict(row) for row in rows]),
    )  # fmt: skip


def collate_at_once(rows):
    processor = Processor()
    texts = [f"<image> read this {row['answer']} <end>" for row in rows]
    return processor(text=texts, images=[[row["page"]] for row in rows], padding=True, scale=2)


def collate_row_by_row(rows):
    processor, made = Processor(), []
    for row in rows:
        processor(text=["<image> read this"], images=[row["page"]], scale=2)  # for its length
        made.append(processor(text=[f"<image> read this {row['answer']} <end>"], images=[row["page"]], scale=2))
    width = max(one["input_ids"].shape[1] for one in made)
    pad = lambda one, name: torch.nn.functional.pad(one[name], (0, width - one[name].shape[1]))  # noqa: E731
    return {name: torch.cat([pad(one, name) for one in made]) for name in ("input_ids", "attention_mask")}


def collate_prompts_and_answers_apart(rows):
    processor = Processor()
    asked = processor(text=["<image> read this" for _ in rows], images=[row["page"] for row in rows], scale=2)
    said = processor(text=[f"{row['answer']} <end>" for row in rows], padding=True)
    return {name: torch.cat((asked[name], said[name]), dim=1) for name in ("input_ids", "attention_mask")}


RUNS = [Run(0, 3, (6, 1)), Run(1, 3, (7, 8, 1))]


@pytest.mark.parametrize("collate", [collate_at_once, collate_row_by_row, collate_prompts_and_answers_apart])
def test_each_row_is_asked_as_its_collator_asks_with_its_own_picture(collate):
    asked = ask(make_parts(collate), collate(ROWS), RUNS)
    assert isinstance(asked, Asked), asked
    assert [prompt["input_ids"].tolist() for prompt in asked.prompts] == [[[2, 3, 4]]] * 2
    # The options that say how a page is shown are kept.
    assert [prompt["pixel_values"].tolist() for prompt in asked.prompts] == [[14.0], [16.0]]
    assert all(set(prompt) == {"input_ids", "attention_mask", "pixel_values"} for prompt in asked.prompts)


def test_the_batch_that_the_processor_returned_is_kept_as_it_was():
    def spoil(rows):
        batch = collate_at_once(rows)
        batch["pixel_values"].zero_()
        del batch["attention_mask"]
        return batch

    asked = ask(make_parts(spoil), collate_at_once(ROWS), RUNS)
    assert isinstance(asked, Asked) and asked.whole["pixel_values"].tolist() == [14.0, 16.0]
    assert "attention_mask" in asked.whole


def test_numbers_are_rounded_as_the_collator_rounds_them():
    def round_down(rows):
        batch = collate_at_once(rows)
        return batch | {"pixel_values": batch["pixel_values"].to(torch.bfloat16)}

    asked = ask(make_parts(round_down), round_down(ROWS), RUNS)
    assert isinstance(asked, Asked)
    given = [*asked.prompts, asked.whole]
    assert {one["pixel_values"].dtype for one in given} == {torch.bfloat16}
    assert {one["input_ids"].dtype for one in given} == {torch.int64}


def test_a_prompt_of_other_tokens_than_the_batch_has_is_not_believed():
    def add_a_word(rows):
        batch = collate_at_once(rows)
        ids = batch["input_ids"]
        extra = torch.full((len(ids), 1), 5)
        mask = torch.ones_like(extra)
        return batch | {
            "input_ids": torch.cat((ids[:, :3], extra, ids[:, 3:]), 1),
            "attention_mask": torch.cat((mask, batch["attention_mask"]), 1),
        }

    found = ask(make_parts(add_a_word), add_a_word(ROWS), [run._replace(start=4) for run in RUNS])
    assert isinstance(found, Unknown) and "writes other tokens" in found.reason


def test_calls_that_may_be_of_either_row_are_not_guessed():
    alike = tuple({**row, "answer": "one"} for row in ROWS)

    def take_turns(rows):  # first the prompts of all rows, then the whole texts of all, one call each
        processor = Processor()
        for row in rows:
            processor(text=["<image> read this"], images=[row["page"]])
        whole = [processor(text=["<image> read this one <end>"], images=[row["page"]]) for row in rows]
        return {name: torch.cat([one[name] for one in whole]) for name in ("input_ids", "attention_mask")}

    runs = [Run(0, 3, (6, 1)), Run(1, 3, (6, 1))]
    parts = make_parts(take_turns)
    parts.sample = alike
    found = ask(parts, take_turns(alike), runs)
    assert isinstance(found, Unknown) and "is for which row cannot be told" in found.reason
    # Where the answers differ, only one order explains the texts.
    parts.sample = ROWS

    def tell_apart(rows):
        processor = Processor()
        for row in rows:
            processor(text=["<image> read this"], images=[row["page"]])
        for row in rows:
            processor(text=[f"<image> read this {row['answer']} <end>"], images=[row["page"]])
        return {}

    parts.collate = tell_apart
    asked = ask(parts, collate_at_once(ROWS), RUNS)
    assert isinstance(asked, Asked)
    assert [prompt["pixel_values"].tolist() for prompt in asked.prompts] == [[7.0], [8.0]]


def test_an_option_that_is_a_mapping_is_handed_on_whole(monkeypatch):
    original = Processor.__call__

    def with_size(self, text=None, images=None, size=None, **named):
        return original(self, text=text, images=images, scale=size["scale"], **named)

    monkeypatch.setattr(Processor, "__call__", with_size)

    def collate(rows):
        texts = [f"<image> read this {row['answer']} <end>" for row in rows]
        return Processor()(text=texts, images=[[row["page"]] for row in rows], size={"scale": 2}, padding=True)

    asked = ask(make_parts(collate), collate(ROWS), RUNS)
    assert isinstance(asked, Asked) and asked.prompts[0]["pixel_values"].tolist() == [14.0]


def test_a_collator_that_calls_no_processor_tells_nothing():
    def prepared(rows):
        return {"input_ids": torch.tensor([[2, 3, 4, 6, 1, 0], [2, 3, 4, 7, 8, 1]])}

    found = ask(make_parts(prepared), prepared(ROWS), RUNS)
    assert isinstance(found, Unknown) and "calls no processor" in found.reason


def test_texts_that_a_processor_writes_into_are_kept_as_they_were_given(monkeypatch):
    original = Processor.__call__

    def write_into(self, text=None, **named):
        made = original(self, text=text, **named)
        text[:] = [one.replace("<image>", "<image> <image>") for one in text]
        return made

    monkeypatch.setattr(Processor, "__call__", write_into)
    asked = ask(make_parts(collate_at_once), collate_at_once(ROWS), RUNS)
    assert isinstance(asked, Asked) and asked.prompts[0]["input_ids"].tolist() == [[2, 3, 4]]


def test_a_mark_of_each_token_that_nobody_declares_is_not_guessed(monkeypatch):
    original = Processor.__call__

    def with_marks(self, *given, **named):
        made = original(self, *given, **named)
        return made | {"kind_ids": torch.zeros_like(made["input_ids"])}

    monkeypatch.setattr(Processor, "__call__", with_marks)
    parts = make_parts(collate_at_once, names=("input_ids", "attention_mask", "pixel_values", "kind_ids"))
    found = ask(parts, collate_at_once(ROWS), RUNS)
    assert isinstance(found, Unknown) and "nobody declares what `kind_ids` is" in found.reason


def test_the_processor_is_as_it_was_before():
    original = Processor.__call__
    ask(make_parts(collate_at_once), collate_at_once(ROWS), RUNS)
    assert Processor.__call__ is original
