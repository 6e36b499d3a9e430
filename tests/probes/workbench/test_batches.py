from __future__ import annotations

import pytest
import torch

from preflight_ocr.harness.facts import Unknown
from preflight_ocr.probes.workbench.batches import RowReader, compare, describe, describe_kind, describe_leaves

ROLES = {"pixels": "pixels", "mask": "placement_mask", "grid": "tiling", "input_ids": "tokens"}
IMAGE = 99


class Letters:
    """A tokenizer of one token per letter: a is 11, b is 12 ...; 0 is BOS, 1 EOS, 2 PAD."""

    bos_token_id, eos_token_id, pad_token_id = 0, 1, 2

    def encode(self, text, add_special_tokens=True):
        return [ord(letter) - ord("a") + 11 for letter in text]

    def decode(self, ids, skip_special_tokens=False):
        return "".join(chr(i - 11 + ord("a")) if i > 10 else "" for i in ids)


class Ending(Letters):
    """Pads with its EOS."""

    pad_token_id = 1


def read(ids, target="", tokenizer=None, **batch):
    reader = RowReader(tokenizer or Letters(), image_token_id=IMAGE, mask_argument="mask")
    return reader.read({"input_ids": torch.tensor([ids]), **batch}, [{"text": target}])[0]


def spell(text):
    return Letters().encode(text)


def test_every_token_of_a_row_has_its_role():
    row = read([2, 2, 0, IMAGE, IMAGE, *spell("read"), *spell("hello"), 1], "hello")
    assert row.roles == "..biippppttttte"
    assert (row.prompt_text, row.target_text, row.truncated) == ("read", "hello", False)


def test_padding_on_the_right_is_padding_too():
    assert read([0, *spell("ab"), 1, 2, 2], "b").roles == "bpte.."


def test_a_pad_in_the_middle_is_not_padding():
    assert read([0, 11, 2, 12, 1, 2], "b").roles == "bppte."


def test_where_the_pad_is_the_eos_the_first_of_the_run_ends_the_target():
    assert read([0, *spell("ab"), 1, 1, 1], "b", Ending()).roles == "bpte.."


def test_without_a_pad_token_the_attention_mask_tells_the_padding():
    class Padless(Letters):
        pad_token_id = None

    mask = torch.tensor([[0, 1, 1, 1]])
    assert read([7, 0, 11, 12], "b", Padless(), attention_mask=mask).roles == ".bpt"


def test_a_cut_target_is_told():
    row = read([0, *spell("read"), *spell("hell")], "hello")
    assert (row.roles, row.truncated) == ("bpppptttt", True)


def test_a_target_that_is_not_there_leaves_everything_prompt():
    assert read([0, *spell("read")], "xyz").roles == "bpppp"


def test_a_target_that_was_merged_with_the_prompt_is_found_in_the_decoded_text():
    class Merged(Letters):
        def encode(self, text, add_special_tokens=True):
            return [500, *super().encode(text)[1:]]

    assert read([0, *spell("readhello")], "hello", Merged()).roles == "bppppttttt"


def test_a_row_of_padding_is_all_padding():
    assert read([2, 2, 2]).roles == "..."


def test_labels_say_what_is_trained():
    row = read([0, *spell("ab"), 1], "b", labels=torch.tensor([[-100, -100, 12, 1]]))
    assert (row.trained, row.supervised_text) == ("0011", "b")


def test_labels_of_another_shape_train_nothing_that_could_be_read():
    assert read([0, 11], labels=torch.tensor([3, 4])).trained == "00"


def test_a_placement_mask_keeps_its_own_length():
    assert read([0, IMAGE, 11], mask=torch.tensor([[True]])).marked == "1"
    assert read([0, IMAGE, 11], mask=torch.tensor([[False, True, False]])).marked == "010"
    assert read([0, IMAGE, 11], mask=torch.tensor([[[0.0], [1.0], [0.0]]])).marked == "010"
    assert read([0, IMAGE, 11]).marked == ""


def test_more_rows_than_were_given_have_no_target():
    reader = RowReader(Letters(), image_token_id=IMAGE, mask_argument=None)
    rows = reader.read({"input_ids": torch.tensor([[0, 11], [0, 12]])}, [{"text": "a"}])
    assert [row.target_text for row in rows] == ["a", ""]


def test_a_batch_is_described_with_its_rows_in_and_out():
    reader = RowReader(Letters(), image_token_id=IMAGE, mask_argument=None)
    facts = describe({"input_ids": torch.tensor([[0, 11]])}, rows=[{"text": "a"}, {"text": "b"}], read=reader)
    assert (facts.rows_in, facts.rows_out, facts.keys) == (2, 1, ("input_ids",))
    packed = describe({"input_ids": torch.tensor([0, 11])}, rows=[{}], read=reader)
    assert isinstance(packed.rows, Unknown) and "int64 tensor [2]" in packed.rows.reason
    empty = describe({}, rows=[{}], read=reader)
    assert empty.rows_out == 0 and isinstance(empty.rows, Unknown)


def test_every_leaf_of_a_nested_value_has_its_path():
    value = [(torch.zeros(1, 3, 2, 2), torch.ones(3)), ["x", None], {"a": 2}, []]
    leaves = {leaf.path: leaf for leaf in describe_leaves("images", value)}
    assert list(leaves) == [
        "images[0][0]",
        "images[0][1]",
        "images[1][0]",
        "images[1][1]",
        "images[2]['a']",
        "images[3]",
    ]
    assert leaves["images[0][0]"].shape == (1, 3, 2, 2)
    assert (leaves["images[0][1]"].maximum, leaves["images[1][1]"].kind) == (1.0, "None")


def test_a_leaf_with_nan_or_without_numbers_is_described_all_the_same():
    (nan,) = describe_leaves("x", torch.tensor([1.0, float("nan")]))
    (empty,) = describe_leaves("x", torch.zeros(0, 3))
    (flags,) = describe_leaves("x", torch.tensor([True, False]))
    assert (nan.mean, empty.mean, flags.mean) == (None, None, 0.5)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.zeros(2, 3), "float32 tensor [2, 3]"),
        ([], "list of 0"),
        ((torch.zeros(1),), "tuple of 1, each a float32 tensor [1]"),
        (None, "None"),
        (3, "int"),
        (Letters(), "test_batches.Letters"),
    ],
)
def test_a_value_is_named_in_a_few_words(value, words):
    assert describe_kind(value).endswith(words)


def differ(given, reference):
    return [(d.path, d.kind) for d in compare(given, reference, roles=ROLES, accepted=["input_ids", "extra"])]


PIXELS = {"pixels": [(torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 4, 4))]}


def test_the_same_batch_differs_nowhere():
    assert differ(PIXELS, PIXELS) == []


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (torch.zeros(1, 3, 4, 4), [("pixels", "container")]),
        ([], [("pixels", "length")]),
        ([(torch.zeros(3, 2, 2), torch.zeros(1, 3, 4, 4))], [("pixels[0][0]", "rank")]),
        ([(torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 4, 4).half())], [("pixels[0][1]", "dtype")]),
        ([(torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 4, 4).to("meta"))], [("pixels[0][1]", "device")]),
        (None, [("pixels", "none")]),
    ],
)
def test_the_first_difference_in_structure_is_told(value, found):
    assert differ({"pixels": value}, PIXELS) == found


def test_numbers_are_not_compared():
    assert differ({"pixels": [(torch.ones(9, 3, 2, 2), torch.ones(1, 3, 4, 4))]}, PIXELS) == []


def test_a_missing_argument_and_one_that_nobody_takes_are_told_apart():
    assert differ({"typo": 1, "extra": 2}, PIXELS) == [("typo", "unexpected"), ("pixels", "missing")]


@pytest.mark.parametrize(
    ("given", "kinds"),
    [
        ([(1, 2), (2, 1)], []),
        (torch.tensor([[1, 2], [2, 1]], dtype=torch.int32), []),
        ([(1, 2)], ["length"]),
        ([(1, 2), (1, 2)], ["value"]),
        ([1, 2], ["shape"]),
        ([(1,), (2, 1)], ["container"]),
        ("12", ["container"]),
        (torch.tensor([1, 2]), ["rank"]),
        (torch.tensor([[1.0, 2.0], [2.0, 1.0]]), ["dtype"]),
        (torch.tensor([[1, 2], [1, 1]]), ["value"]),
    ],
)
def test_a_tiling_may_be_nested_integers_but_must_say_the_same(given, kinds):
    assert [kind for _, kind in differ({"grid": given}, {"grid": torch.tensor([[1, 2], [2, 1]])})] == kinds


def test_a_mask_must_be_boolean_and_ids_may_be_any_integer():
    reference = {"mask": torch.tensor([[True]]), "input_ids": torch.tensor([[1]])}
    given = {"mask": torch.tensor([[1]]), "input_ids": torch.tensor([[1]], dtype=torch.int32)}
    assert differ(given, reference) == [("mask", "dtype")]


def read_targets(ids, *texts):
    reader = RowReader(Letters(), image_token_id=IMAGE, mask_argument=None)
    return [row.target_text for row in reader.read({"input_ids": torch.tensor(ids)}, [{"text": t} for t in texts])]


def test_rows_that_are_left_over_are_held_to_the_texts_that_they_hold():
    left = [[0, *spell("readyy"), 1], [0, *spell("readzz"), 1]]
    assert read_targets(left, "xx", "yy", "zz") == ["yy", "zz"]


def test_a_text_that_is_cut_is_found_by_how_it_begins():
    assert read_targets([[0, IMAGE, *spell("wor")]], "zebra", "words") == ["words"]


def test_rows_that_hold_none_of_the_texts_are_held_to_the_first():
    assert read_targets([[0, IMAGE, IMAGE]], "zebra", "words") == ["zebra"]


class Controlled(Letters):
    """Knows which of its tokens are special."""

    all_special_ids = (0, 1, 2)


def train(ids, target, first, last, prompt=""):
    labels = torch.tensor([[i if first <= k < last else -100 for k, i in enumerate(ids)]])
    reader = RowReader(Controlled(), image_token_id=IMAGE, mask_argument="mask", read_prompt=lambda: prompt)
    return reader.read({"input_ids": torch.tensor([ids]), "labels": labels}, [{"text": target}])[0]


def test_what_a_template_writes_behind_the_end_is_neither_prompt_nor_target():
    row = read([0, *spell("ab"), 1, *spell("x")], "b")
    assert (row.roles, row.truncated) == ("bpte?", False)


def test_what_is_trained_in_front_of_the_target_belongs_to_the_answer():
    assert train([0, *spell("readxhello"), 1], "hello", 5, 12).roles == "bpppptttttte"


def test_the_last_words_of_the_prompt_do_not_belong_to_the_answer():
    assert train([0, *spell("readhello"), 1], "hello", 3, 11, prompt="read").roles == "bppppttttte"


def test_labels_that_were_shifted_do_not_widen_the_answer():
    assert train([0, *spell("readhello"), 1], "hello", 4, 10).roles == "bppppttttte"


def test_a_prompt_that_is_trained_from_its_first_token_stays_a_prompt():
    assert train([0, *spell("readhello"), 1], "hello", 1, 11).roles == "bppppttttte"


def test_what_closes_an_answer_belongs_to_it():
    assert train([0, *spell("readhellox"), 1], "hello", 5, 12).roles == "bpppptttttte"


def packed(*rows: str, labels: bool = True, **batch) -> tuple[dict, list[dict]]:
    """Rows of one prompt in one sequence, each with BOS, a picture of two tokens and EOS; only targets are trained on."""
    ids, trained = [], []
    for row in rows:
        ids += [0, IMAGE, IMAGE, *spell("read"), *spell(row), 1]
        trained += [-100] * 7 + [*spell(row), 1]
    given = {"input_ids": torch.tensor([ids]), **({"labels": torch.tensor([trained])} if labels else {}), **batch}
    return given, [{"text": row} for row in rows]


def read_all(batch, rows):
    return RowReader(Letters(), image_token_id=IMAGE, mask_argument="mask").read(batch, rows)


@pytest.mark.parametrize("labels", [True, False])
def test_rows_that_are_packed_into_one_sequence_are_read_one_by_one(labels):
    rows = read_all(*packed("hello", "ab", "xyz", labels=labels))
    assert [row.roles for row in rows] == ["biipppp" + "t" * n + "e" for n in (5, 2, 3)]
    assert [row.target_text for row in rows] == ["hello", "ab", "xyz"]
    assert [row.supervised_text for row in rows] == (["hello", "ab", "xyz"] if labels else [""] * 3)
    assert all(len(row.roles) == len(row.trained) == len(row.attended) for row in rows)


def test_packed_rows_keep_their_order_where_the_collator_sorts_them():
    batch, rows = packed("ab", "hello")
    assert [row.target_text for row in read_all(batch, rows[::-1])] == ["hello", "ab"]


def test_three_rows_in_two_sequences_are_told_apart_too():
    (both, rows), (alone, other) = packed("hello", "ab"), packed("xyz")
    length = both["input_ids"].shape[1]
    pad = torch.nn.functional.pad(alone["input_ids"], (0, length - alone["input_ids"].shape[1]), value=2)
    labels = torch.nn.functional.pad(alone["labels"], (0, length - alone["labels"].shape[1]), value=-100)
    batch = {"input_ids": torch.cat([both["input_ids"], pad]), "labels": torch.cat([both["labels"], labels])}
    read = read_all(batch, [*rows, *other])
    assert [row.roles.rstrip(".") for row in read] == ["biipppp" + "t" * n + "e" for n in (5, 2, 3)]


def test_labels_of_another_length_are_no_reason_to_stumble():
    batch, rows = packed("hello", "ab")
    read = read_all({**batch, "labels": batch["labels"][:, :3]}, rows)
    assert [row.target_text for row in read] == ["hello", "ab"]


def test_two_packed_rows_of_one_text_are_two():
    assert [row.roles for row in read_all(*packed("ab", "ab"))] == ["biippppttte"[:9] + "e"] * 2


def test_a_text_that_a_prompt_holds_as_well_is_found_where_it_is_trained_on():
    assert [row.roles for row in read_all(*packed("ea", "ab"))] == ["biippppttte"[:9] + "e"] * 2


def test_a_sequence_that_lacks_one_of_the_rows_is_not_packed():
    batch, rows = packed("hello", "ab")
    read = read_all(batch, [*rows, {"text": "missing"}])
    assert len(read) == 1


def test_the_white_space_of_a_template_belongs_to_the_row_before():
    class Spacing(Letters):
        def decode(self, ids, skip_special_tokens=False):
            return "".join("\n" if i == 10 else super(Spacing, self).decode([i]) for i in ids)

    ids = torch.tensor([[0, *spell("hello"), 1, 10, 0, *spell("ab"), 1, 10]])
    spans = RowReader(Spacing(), image_token_id=IMAGE, mask_argument=None).find_spans(
        {"input_ids": ids}, [{"text": "hello"}, {"text": "ab"}]
    )
    assert [(span.start, span.stop) for span in spans] == [(0, 8), (8, 13)]


@pytest.mark.parametrize(
    "write", [lambda b: b, lambda b: torch.where(b, 0.0, -3e38), lambda b: b.int(), lambda b: b.float()]
)
@pytest.mark.parametrize("heads", [(), (1,), (4,)])
def test_a_mask_of_pairs_hides_what_no_token_attends_to(write, heads):
    blocks = torch.block_diag(*[torch.ones(3, 3).tril()] * 2).bool()
    blocks[:, 4] = False
    mask = write(blocks).expand(1, *heads, 6, 6)
    assert read([0, *spell("ab"), 0, *spell("cd")], "cd", attention_mask=mask).attended == "111101"


def test_a_mask_that_is_added_and_hides_nothing_hides_nothing():
    assert read([0, *spell("ab")], "b", attention_mask=torch.zeros(1, 1, 3, 3)).attended == "111"
