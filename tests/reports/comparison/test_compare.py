from __future__ import annotations

import msgspec
import pytest

from preflight_ocr.harness.judging.findings import Broken, Kept, Severity
from preflight_ocr.reports import json_writer
from preflight_ocr.reports.comparison import compare, describe

A, B, C = "COL001-broadcast_mask", "LBL002-unmasked_prompt", "CFG003-warmup_beyond_run"


def test_a_finding_that_is_gone_is_fixed_only_where_its_contract_was_looked_at_again(write_document, write_finding):
    before = write_document({A: "broken"}, write_finding(A))
    for ending, place in (
        ("kept", "fixed"),
        ("broken", "still_broken"),
        ("skipped", "unknown"),
        ("crashed", "unknown"),
        ("not applicable", "moot"),
    ):
        found = compare(before, write_document({A: ending}))
        assert len(getattr(found, place)) == 1, ending
        assert sum(len(getattr(found, p)) for p in ("fixed", "still_broken", "unknown", "moot")) == 1
    (gone,) = compare(before, write_document({})).unknown
    assert gone.after == "absent"


@pytest.mark.parametrize(("severity", "code"), [("BLOCKER", 12), ("MAJOR", 11), ("MINOR", 0), ("NOTE", 0)])
def test_the_exit_code_is_by_the_worst_of_what_is_new(write_document, write_finding, severity, code):
    stayed = write_finding(B, "BLOCKER")
    before = write_document({A: "kept", B: "broken"}, stayed)
    after = write_document({A: "broken", B: "broken"}, stayed, write_finding(A, severity))
    assert compare(before, after).exit_code == code
    assert compare(after, before).exit_code == 0


def test_a_finding_that_became_worse_counts_as_new(write_document, write_finding):
    before = write_document({C: "broken"}, write_finding(C, "MINOR"))
    after = write_document({C: "broken"}, write_finding(C, "MAJOR"))
    assert compare(before, after).exit_code == 11
    assert not compare(before, after).stayed
    assert compare(after, before).exit_code == 0
    assert len(compare(after, before).stayed) == 1


def test_a_finding_that_is_about_another_key_as_well_counts_as_new(write_document, write_finding):
    endings = {"CFG001-unknown_key": "broken"}
    one, both = ("training.learning_ratee",), ("training.learning_ratee", "training.warmup_step")
    first, second = (write_finding("CFG001-unknown_key", "MAJOR", keys=keys) for keys in (one, both))
    found = compare(write_document(endings, first), write_document(endings, second))
    assert [pair.added for pair in found.worse] == [("training.warmup_step",)] and found.exit_code == 11
    assert "New in it: training.warmup_step." in describe(found)
    assert compare(write_document(endings, second), write_document(endings, first)).exit_code == 0
    unnamed = write_finding("CFG001-unknown_key", "MAJOR")  # an older document, which names no keys
    assert compare(write_document(endings, unnamed), write_document(endings, second)).worse == ()


def test_figures_that_changed_do_not_make_a_finding_new(write_document, write_finding):
    before = write_document({A: "broken"}, write_finding(A, summary="loss 5.1"))
    after = write_document({A: "broken"}, write_finding(A, summary="loss 5.2"))
    found = compare(before, after)
    assert (len(found.stayed), len(found.new), len(found.fixed)) == (1, 0, 0)


def test_of_two_findings_of_one_contract_the_one_that_is_gone_is_named(write_document, write_finding):
    one, two = write_finding(A, summary="in row 1"), write_finding(A, summary="in row 2")
    found = compare(write_document({A: "broken"}, one, two), write_document({A: "broken"}, two))
    assert [pair.after for pair in found.stayed] == [two]
    assert [gone.finding for gone in found.still_broken] == [one]


def test_kept_to_skipped_is_as_loud_as_kept_to_broken(write_document, write_finding):
    before = write_document({A: "kept", B: "kept", C: "skipped"})
    after = write_document(
        {A: "skipped", B: "broken", C: "kept"}, write_finding(B), reasons={A: "no accelerator", C: ""}
    )
    found = compare(before, after)
    assert [(c.id, c.is_loud) for c in found.changes] == [(A, True), (B, True), (C, False)]
    assert [(c.id, c.reason) for c in found.lost] == [(A, "no accelerator")]


@pytest.mark.parametrize(
    ("before", "after", "loud"),
    [
        ("kept", "crashed", True),
        ("broken", "skipped", True),
        ("skipped", "broken", True),
        ("broken", "kept", False),
        ("skipped", "crashed", False),
        ("crashed", "kept", False),
    ],
)
def test_what_is_worse_than_before_is_loud(write_document, before, after, loud):
    (change,) = compare(write_document({A: before}), write_document({A: after})).changes
    assert change.is_loud is loud


def test_a_contract_that_is_not_judged_any_more_is_lost(write_document):
    found = compare(write_document({A: "kept"}), write_document({}))
    assert [(c.before, c.after) for c in found.lost] == [("kept", "absent")]


def test_a_contract_judged_for_the_first_time_and_kept_is_no_loss(write_document):
    found = compare(write_document({}), write_document({A: "kept"}))
    assert not found.lost and [(c.before, c.after) for c in found.changes] == [("absent", "kept")]


def test_a_new_finding_says_how_its_contract_ended_before(write_document, write_finding):
    before = write_document({A: "skipped"}, reasons={A: "nothing could be run"})
    (new,) = compare(before, write_document({A: "broken"}, write_finding(A))).new
    assert (new.before, new.reason) == ("skipped", "nothing could be run")


def test_versions_that_differ_appeared_or_went_are_listed(write_document):
    before = write_document({}, torch="2.13.0", peft="0.15.2", trl="0.9")
    after = write_document({}, torch="2.13.0", peft="0.21.2", datasets="4.0")
    found = compare(before, after).environment
    assert [(v.name, v.before, v.after) for v in found] == [
        ("peft", "0.15.2", "0.21.2"), ("trl", "0.9", ""), ("datasets", "", "4.0"),
    ]  # fmt: skip


def test_a_report_compared_with_itself_has_nothing_to_tell(report, tmp_path):
    json_writer.write(report, tmp_path / "a.json")
    document = json_writer.read(tmp_path / "a.json")
    found = compare(document, document)
    assert found.same_facts and not (found.new or found.worse or found.changes or found.environment or found.fixed)
    assert len(found.stayed) == len(report.findings)
    assert found.exit_code == 0


def test_a_repaired_consequence_is_no_finding_of_its_own(make_report, judge, find_fault):
    """What the first report folded into its cause comes out by itself in the second: new, and said to have been hidden."""
    cause, result = find_fault("COL001", "broadcast_mask"), find_fault("COL004", "shifted_mask", Severity.MAJOR)
    first = make_report(
        (
            judge("COL001", "broadcast_mask", Broken((cause,))),
            judge("COL004", "shifted_mask", Broken((result,), ("COL001",))),
        )
    )
    second = make_report(
        (judge("COL001", "broadcast_mask", Kept()), judge("COL004", "shifted_mask", Broken((result,))))
    )
    decode = lambda r: msgspec.json.decode(json_writer.render(r), type=json_writer.Document)  # noqa: E731
    found = compare(decode(first), decode(second))
    assert [gone.finding.code for gone in found.fixed] == ["COL001"]
    assert [(new.before, new.reason) for new in found.new] == [("broken", "a consequence of COL001")]
    assert found.exit_code == 11


def test_what_no_longer_applies_is_told_apart_from_what_is_no_longer_looked_at(write_document):
    before = write_document({A: "kept", B: "kept", C: "broken"})
    after = write_document({A: "not applicable", B: "skipped", C: "not applicable"}, reasons={A: "there is no picture"})
    found = compare(before, after)
    assert [change.id for change in found.lost] == [B]
    assert [change.id for change in found.idle] == sorted([A, C])
    assert [change.id for change in found.changes if change.is_loud] == [B]
