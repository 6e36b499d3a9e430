from __future__ import annotations

import datetime
import io

import msgspec

from preflight_ocr.harness.check.seen import Beat
from preflight_ocr.harness.judging.findings import Kept, Skipped
from preflight_ocr.reports import markdown, terminal


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_everything_a_reader_needs_is_there_in_order(report):
    text = terminal.render(report)
    places = [
        text.index(part)
        for part in (
            "REFUSED: 1 BLOCKER, 1 MAJOR",
            "1 CRASHED",
            "2 of 7 contracts were NOT looked at",
            "BLOCKER COL001 broadcast_mask",
            "seen 1, expected 19",
            "Fix: Build one entry per token.",
            "Also explains: COL004",
            "preflight explain COL001",
            "MAJOR LBL002",
            "CRASHED (1)",
            "SKIPPED (2)",
            "no accelerator here",
            "Kept: 1 of the 7",
        )
    ]
    assert places == sorted(places)
    assert "COL004 shifted_mask" not in text


def test_our_own_words_survive_every_code_page(report):
    assert terminal.render(report).isascii()


def test_colour_only_where_it_is_asked_for(report):
    assert "\x1b[" not in terminal.render(report)
    assert "\x1b[" in terminal.render(report, colour=True)


def test_no_color_wins_over_a_terminal(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert terminal.wants_colour(Screen())
    assert not terminal.wants_colour(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not terminal.wants_colour(Screen())


def test_a_clear_run_says_clear(make_report, judge, essentials):
    text = terminal.render(make_report((judge("CFG001", "unknown_key", Kept()), *essentials)))
    assert text.startswith("CLEAR: no findings\n")
    assert "SKIPPED" not in text


def test_progress_is_plain_lines_away_from_a_terminal():
    stream = io.StringIO()
    progress = terminal.Progress(stream)
    progress("reading the model")
    progress.clear()
    assert stream.getvalue().endswith("reading the model\n")
    assert "\x1b" not in stream.getvalue()


def test_a_beat_is_told_seldom_away_from_a_terminal(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    progress = terminal.Progress(stream)
    progress("running: learning")
    for second in range(1, 78):
        now[0] = float(second)
        progress(Beat(f"running: learning for {second} s"))
    lines = stream.getvalue().splitlines()
    assert [line.split("for ")[-1] for line in lines[1:]] == ["10 s", "20 s", "40 s"]


def test_a_beat_is_told_each_time_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream = Screen()
    progress = terminal.Progress(stream)
    progress("running: learning")
    progress(Beat("running: learning for 1 s"))
    assert "learning for 1 s" in stream.getvalue()


def test_reasons_are_counted_and_only_few_contracts_are_named(make_report, judge, essentials):
    many = tuple(judge(f"COL{n:03}", "some_name", Skipped("no collator")) for n in range(9))
    report = make_report((*many, judge("ENV010", "unusable_card", Skipped("no card")), *essentials))
    text = terminal.render(report)
    assert "    9  no collator\n    1  no card (ENV010)" in text
    assert "COL003" not in text
    assert "COL003-some_name" in terminal.render(report, detail="full")


def test_markdown_loses_its_marks_and_keeps_its_code():
    text = markdown.render("Lead.\n\n## Why\nOne `x` *two*.\n\n```python\na = 1\n```\n- item\n", width=60)
    assert text.splitlines() == ["  Lead.", "", "Why", "  One `x` two.", "", "    a = 1", "", "  - item"]


def test_progress_rewrites_its_line_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream = Screen()
    progress = terminal.Progress(stream)
    progress("one")
    progress("two")
    assert "\n" not in stream.getvalue()


def test_a_legacy_code_page_shows_a_question_mark_instead_of_raising(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="cp1252"))
    terminal.survive_code_pages()
    print("Жили-были", flush=True)
    assert raw.getvalue().startswith(b"????-????")


def test_quoted_code_keeps_its_lines_and_long_paths_stay_whole(find_fault):
    path = "/a/" + "long/" * 40 + "file.py"
    text = terminal.explain(find_fault("COL001", "x", summary=path, snippet="a = 1\n    b = 2"), width=60)
    assert path in text
    assert "      a = 1\n          b = 2" in text


def test_what_was_not_run_again_is_said_with_the_time_of_its_run(report):
    when = datetime.datetime(2030, 1, 2, 3, 4, tzinfo=datetime.UTC)
    text = terminal.render(msgspec.structs.replace(report, reused={"forward": when}), width=200)
    assert "Taken over: forward, from the check of 2030-01-02 03:04 UTC" in text
    assert "Taken over" not in terminal.render(report)
