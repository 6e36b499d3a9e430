from __future__ import annotations

import pytest

from preflight_ocr.harness.commands.matrix.records import Breach, CellRecord, Matrix, ModelRecord, Prediction
from preflight_ocr.reports.matrix import lay_out
from preflight_ocr.reports.matrix.layout import name_cells
from tests.support.matrices import make_matrix

BLOCKER = Breach(code="FWD015", name="uninitialised_buffer", severity="BLOCKER", summary="seen 0, expected 1")
MINOR = Breach(code="CFG003", name="warmup_beyond_run", severity="MINOR", summary="100 of 60")


def write_cell(release: str, peft: str, *models: ModelRecord, built: bool = True) -> CellRecord:
    return CellRecord(
        cell=f"tf{release}-peft{peft}", transformers=release, peft=peft, built=built, models=models,
        reason="" if built else "no wheel",
    )  # fmt: skip


def write_record(ending: str = "clear", *breaches: Breach, **changes) -> ModelRecord:
    return ModelRecord(model="m", shown="Model", ending=ending, breaches=breaches, **changes)


def lay(*cells: CellRecord):
    return lay_out(Matrix(config="run.yaml", cells=cells))


def test_a_square_shows_the_worst_finding_and_counts_the_others():
    (line,) = lay(write_cell("5.0.0", "0.18.1", write_record("refused", BLOCKER, MINOR))).lines
    (square,) = line.squares
    assert (square.state, square.text, square.severity) == ("broken", "FWD015 +1", "BLOCKER")
    assert square.codes == ("FWD015", "CFG003")


def test_a_minor_finding_is_shown_although_the_verdict_is_clear():
    layout = lay(write_cell("5.0.0", "0.18.1", write_record("clear", MINOR)))
    assert layout.lines[0].squares[0].state == "broken"
    assert layout.lines[0].clear == layout.columns[0].clear == 0


def test_a_refusal_without_a_finding_is_never_clear():
    assert lay(write_cell("5.0.0", "0.18.1", write_record("refused"))).lines[0].squares[0].state == "unjudged"


def test_a_cell_that_was_not_built_is_a_square_with_its_reason_in_every_row():
    layout = lay(write_cell("4.51.3", "0.13.2", write_record()), write_cell("5.0.0", "0.13.2", built=False))
    square = layout.lines[0].squares[1]
    assert (square.state, square.reason) == ("unbuilt", "no wheel")
    assert [column.cell for column in layout.unbuilt] == ["tf5.0.0-peft0.13.2"]


def test_a_matrix_of_which_no_cell_was_built_still_has_a_row():
    layout = lay(write_cell("5.0.0", "0.13.2", built=False))
    assert [line.shown for line in layout.lines] == ["run.yaml"]
    assert layout.tried == 0


def test_a_model_that_one_cell_did_not_try_is_not_clear_there():
    other = ModelRecord(model="n", shown="Other", ending="clear")
    layout = lay(write_cell("4.51.3", "0.15.2", write_record(), other), write_cell("5.0.0", "0.15.2", write_record()))
    assert [square.state for square in layout.lines[1].squares] == ["clear", "untried"]


def test_the_window_begins_and_ends_where_reading_says_so():
    fits, fails = Prediction(verdict="fits"), Prediction(verdict="fails", reason="gone")
    records = [write_record(prediction=p) for p in (fails, fits, fits, fails, fits)]
    layout = lay(*(write_cell(f"4.{n}.0", "0.15.2", record) for n, record in enumerate(records)))
    assert [(s.starts, s.ends) for s in layout.lines[0].squares] == [
        (False, False), (True, False), (False, True), (False, False), (True, True),
    ]  # fmt: skip


def test_cells_that_end_alike_are_told_together_whatever_was_measured():
    again = BLOCKER.__class__(**{**{f: getattr(BLOCKER, f) for f in BLOCKER.__struct_fields__}, "summary": "seen 0.5"})
    layout = lay(
        write_cell("4.51.3", "0.15.2", write_record()),
        write_cell("5.0.0", "0.15.2", write_record("refused", BLOCKER)),
        write_cell("5.23.0", "0.15.2", write_record("refused", again)),
    )
    (told,) = layout.lines[0].told
    assert told.where == "transformers 5.0.0 to 5.23.0 with peft 0.15.2"
    assert told.breaches == (BLOCKER,)


def test_agreements_are_counted_and_each_disagreement_has_its_explanation():
    fits = Prediction(verdict="fits")
    layout = lay(
        write_cell("4.51.3", "0.15.2", write_record(prediction=fits, agrees=True)),
        write_cell(
            "5.0.0", "0.15.2", write_record("refused", BLOCKER, prediction=fits, agrees=False, explanation="why")
        ),
        write_cell("5.23.0", "0.15.2", write_record()),
    )
    assert (layout.agreements, layout.disagreements, layout.tried) == (1, 1, 3)
    (doubt,) = layout.doubts
    assert (doubt.predicted, doubt.ran, doubt.explanation) == ("fits", "FWD015 uninitialised_buffer", "why")


def test_a_disagreement_that_nobody_explained_says_so():
    failing = Prediction(verdict="fails", reason="no such name", place="x.py:3")
    (doubt,) = lay(write_cell("5.0.0", "0.15.2", write_record(prediction=failing, agrees=False))).doubts
    assert doubt.predicted == "cannot work: no such name (x.py:3)"
    assert doubt.explanation == "nobody has explained this yet"


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ("0 1 2 3 4 5", "every cell"),
        ("0 1", "transformers 1.0 with every peft"),
        ("0 1 2 3", "transformers 1.0 to 2.0 with every peft"),
        ("1 3 5", "transformers 1.0 to 3.0 with peft b"),
        ("0 4", "transformers 1.0 with peft a; 3.0 with peft a"),
        ("0 1 3", "transformers 1.0 with every peft; 2.0 with peft b"),
    ],
)
def test_cells_are_named_in_few_words(chosen, said):
    cells = [write_cell(release, peft) for release in ("1.0", "2.0", "3.0") for peft in "ab"]
    assert name_cells([cells[int(n)] for n in chosen.split()], cells) == said


def test_every_kind_of_square_is_in_the_sample():
    """The sample is what the other tests of this folder and those in the browser look at."""
    states = set(lay_out(make_matrix()).states)
    assert states == {"broken", "clear", "absent", "unjudged", "failed", "unbuilt"}


def test_a_model_that_the_releases_do_not_have_is_no_check_and_one_story():
    absent = [
        write_record("absent", reason=f"transformers 4.{n} has no class", is_without_class=True) for n in (46, 49)
    ]
    layout = lay(
        write_cell("4.46.3", "0.15.2", absent[0]),
        write_cell("4.49.0", "0.15.2", absent[1]),
        write_cell("4.51.3", "0.15.2", write_record()),
    )
    (told,) = layout.lines[0].told
    assert told.where == "transformers 4.46.3 to 4.49.0 with peft 0.15.2"
    assert (layout.looked, layout.tried) == (1, 3)
    assert [column.looked for column in layout.columns] == [0, 0, 1]
