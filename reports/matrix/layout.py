"""The version matrix as rows and columns, ready to be drawn: what each square says, and what many squares say alike."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from preflight_ocr.harness.commands.matrix.records import Breach, CellRecord, Matrix, ModelRecord

State = Literal["broken", "clear", "absent", "unjudged", "failed", "unbuilt", "untried"]

WORDS: Mapping[State, str] = {
    "broken": "a contract is broken",
    "clear": "clear",
    "absent": "not to be had here",
    "unjudged": "nothing could be run",
    "failed": "Preflight itself failed",
    "unbuilt": "could not be built",
    "untried": "was not tried",
}
SHORT: Mapping[State, str] = {
    "broken": "",
    "clear": "ok",
    "absent": "-",
    "unjudged": "?",
    "failed": "failed",
    "unbuilt": "x",
    "untried": "",
}


class Square(msgspec.Struct, frozen=True, kw_only=True):
    """One model in one cell. `code`, `name` and `severity` are those of the worst root cause; `more` is how many others.

    `window` says whether reading takes these releases for possible; `starts` and `ends` are the window's borders within the
    row. `outcome` is the number of the row's outcome that says all about it.
    """

    column: int
    state: State
    code: str = ""
    name: str = ""
    severity: str = ""
    more: int = 0
    codes: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()
    reason: str = ""
    window: Literal["fits", "fails", "unknown", "none"] = "none"
    starts: bool = False
    ends: bool = False
    agrees: bool | None = None
    outcome: int = 0

    @property
    def text(self) -> str:
        """What stands in the square."""
        return f"{self.code}{f' +{self.more}' if self.more else ''}" if self.code else SHORT[self.state]

    @property
    def label(self) -> str:
        """The same in words."""
        said = f"{self.severity} {self.code} {self.name}" if self.code else WORDS[self.state]
        others = f" and {self.more} more" if self.more else ""
        why = f": {self.reason}" if self.reason else ""
        window = {"fits": "; reading says it fits", "fails": "; reading says it cannot work"}.get(self.window, "")
        doubt = ", and running says otherwise" if self.agrees is False else ""
        return f"{said}{others}{why}{window}{doubt}"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What many squares of a row have in common, with the cells it was seen in."""

    state: State
    breaches: tuple[Breach, ...]
    reason: str
    cells: tuple[str, ...]
    where: str
    number: int
    columns: tuple[int, ...]
    is_without_class: bool = False


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One model through all cells."""

    number: int
    shown: str
    squares: tuple[Square, ...]
    outcomes: tuple[Outcome, ...]
    clear: int

    @property
    def told(self) -> tuple[Outcome, ...]:
        """The outcomes that need words of their own: neither clear, nor a matter of the whole cell."""
        return tuple(o for o in self.outcomes if o.state not in ("clear", "unbuilt", "untried"))


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One cell. Seconds are wall seconds; None where nobody measured them. Of `looked` models that could be had, `clear`
    came out clear."""

    cell: str
    transformers: str
    peft: str
    built: bool
    reason: str
    install: float | None
    run: float | None
    clear: int
    looked: int
    environment: dict[str, str]
    opens: bool
    """Whether it is the first of its transformers release."""


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """Running and reading say different things about one model in these cells."""

    model: int
    shown: str
    predicted: str
    ran: str
    explanation: str
    where: str
    cells: tuple[str, ...]
    columns: tuple[int, ...]


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """The whole matrix. `agreements` and `disagreements` count squares; the rest of `tried` could not be compared. `looked`
    are those that could be checked at all, because the model can be had."""

    config: str
    columns: tuple[Column, ...]
    groups: tuple[tuple[str, int], ...]
    lines: tuple[Line, ...]
    doubts: tuple[Doubt, ...]
    states: dict[State, int]
    severities: dict[str, int]
    codes: dict[str, str]
    agreements: int
    disagreements: int
    tried: int
    looked: int

    @property
    def unbuilt(self) -> tuple[Column, ...]:
        """The cells whose environment could not be made."""
        return tuple(column for column in self.columns if not column.built)


def lay_out(matrix: Matrix) -> Layout:
    """Rows in the order in which models first appear, columns as in the matrix."""
    shown = {record.model: record.shown for cell in matrix.cells for record in cell.models}
    if not shown:
        shown = {matrix.config: matrix.config}  # no cell was built: one row still says so
    records = [{record.model: record for record in cell.models} for cell in matrix.cells]
    lines = tuple(_lay_line(n, *named, matrix.cells, records) for n, named in enumerate(shown.items()))
    squares = [square for line in lines for square in line.squares]
    known = [record for cell in matrix.cells for record in cell.models]
    breaches = sorted({breach.code: breach.name for record in known for breach in record.breaches}.items())
    states: dict[State, int] = {state: n for state in WORDS if (n := sum(s.state == state for s in squares))}
    worst = {name: sum(s.severity == name for s in squares) for name in ("BLOCKER", "MAJOR", "MINOR", "NOTE")}
    return Layout(
        config=matrix.config,
        columns=tuple(_lay_columns(matrix.cells)),
        groups=tuple(
            (name, len(list(cells))) for name, cells in itertools.groupby(c.transformers for c in matrix.cells)
        ),
        lines=lines,
        doubts=tuple(_list_doubts(shown, matrix.cells, records)),
        states=states,
        severities={name: number for name, number in worst.items() if number},
        codes=dict(breaches),
        agreements=sum(record.agrees is True for record in known),
        disagreements=sum(record.agrees is False for record in known),
        tried=len(known),
        looked=sum(record.ending != "absent" for record in known),
    )


def name_cells(chosen: Sequence[CellRecord], cells: Sequence[CellRecord]) -> str:
    """The chosen of all cells in few words: `transformers 4.46.3 to 4.51.3 with every peft; 5.23.0 with peft 0.21.2`."""
    if len(chosen) == len(cells):
        return "every cell"
    pefts: dict[str, list[str]] = {}
    every: dict[str, list[str]] = {}
    for cell in cells:
        every.setdefault(cell.transformers, []).append(cell.peft)
        if cell in chosen:
            pefts.setdefault(cell.transformers, []).append(cell.peft)
    releases = list(every)
    runs: list[tuple[list[str], tuple[str, ...] | None]] = []
    for release in (r for r in releases if r in pefts):
        is_whole = pefts[release] == every[release] and len(every[release]) > 1
        with_peft = None if is_whole else tuple(pefts[release])
        follows = bool(runs) and releases.index(release) == releases.index(runs[-1][0][-1]) + 1
        if follows and runs[-1][1] == with_peft:
            runs[-1][0].append(release)
        else:
            runs.append(([release], with_peft))
    said = []
    for names, with_peft in runs:
        span = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
        said.append(f"{span} with {'every peft' if with_peft is None else 'peft ' + ', '.join(with_peft)}")
    return f"transformers {'; '.join(said)}"


def _lay_columns(cells: Sequence[CellRecord]) -> Iterable[Column]:
    before = None
    for cell in cells:
        yield Column(
            cell=cell.cell,
            transformers=cell.transformers,
            peft=cell.peft,
            built=cell.built,
            reason=cell.reason,
            install=cell.seconds.get("install"),
            run=cell.seconds.get("run"),
            clear=sum(_tell(record) == "clear" for record in cell.models),
            looked=sum(record.ending != "absent" for record in cell.models),
            environment=cell.environment,
            opens=cell.transformers != before,
        )
        before = cell.transformers


def _lay_line(
    number: int, model: str, shown: str, cells: Sequence[CellRecord], records: Sequence[Mapping[str, ModelRecord]]
) -> Line:
    found = [by_model.get(model) for by_model in records]
    outcomes: dict[tuple[object, ...], list[int]] = {}
    for index, (cell, record) in enumerate(zip(cells, found, strict=True)):
        outcomes.setdefault(_take_key(cell, record), []).append(index)
    numbers = {index: number for number, columns in enumerate(outcomes.values()) for index in columns}
    fits = [
        record is not None and record.prediction is not None and record.prediction.verdict == "fits" for record in found
    ]
    squares = []
    for index, (cell, record) in enumerate(zip(cells, found, strict=True)):
        inside = fits[index]
        starts = inside and (index == 0 or not fits[index - 1])
        ends = inside and (index + 1 == len(fits) or not fits[index + 1])
        squares.append(_lay_square(index, cell, record, numbers[index], starts=starts, ends=ends))
    return Line(
        number=number,
        shown=shown,
        squares=tuple(squares),
        outcomes=tuple(_lay_outcome(number, columns, cells, found) for number, columns in enumerate(outcomes.values())),
        clear=sum(square.state == "clear" for square in squares),
    )


def _lay_square(
    index: int, cell: CellRecord, record: ModelRecord | None, outcome: int, *, starts: bool, ends: bool
) -> Square:
    state = _tell(record, cell)
    if record is None:
        return Square(column=index, state=state, reason=cell.reason, outcome=outcome, severities=(state,))
    worst = record.breaches[0] if record.breaches else None
    return Square(
        column=index,
        state=state,
        code=worst.code if worst else "",
        name=worst.name if worst else "",
        severity=worst.severity if worst else "",
        more=max(0, len(record.breaches) - 1),
        codes=tuple(dict.fromkeys(breach.code for breach in record.breaches)),
        severities=tuple(dict.fromkeys(breach.severity for breach in record.breaches)) or (state,),
        reason=record.reason,
        window=record.prediction.verdict if record.prediction else "none",
        starts=starts,
        ends=ends,
        agrees=record.agrees,
        outcome=outcome,
    )


def _tell(record: ModelRecord | None, cell: CellRecord | None = None) -> State:
    """A finding makes a square broken even where the verdict is clear: MINOR is a finding too, and is shown."""
    if record is None:
        return "untried" if cell is None or cell.built else "unbuilt"
    if record.breaches:
        return "broken"
    return "unjudged" if record.ending == "refused" else record.ending


def _take_key(cell: CellRecord, record: ModelRecord | None) -> tuple[object, ...]:
    """What makes two squares tell the same story: the same findings. What was measured in each may differ."""
    if record is None:
        return (_tell(record, cell), cell.reason)
    # That a release has no such class is one story, though each names itself.
    reason = "" if record.is_without_class else record.reason
    return (_tell(record, cell), record.is_without_class, reason, tuple((b.code, b.severity) for b in record.breaches))


def _lay_outcome(
    number: int, columns: Sequence[int], cells: Sequence[CellRecord], found: Sequence[ModelRecord | None]
) -> Outcome:
    first, record = cells[columns[0]], found[columns[0]]
    chosen = [cells[index] for index in columns]
    return Outcome(
        number=number,
        state=_tell(record, first),
        breaches=record.breaches if record else (),
        reason=record.reason if record else first.reason,
        cells=tuple(cell.cell for cell in chosen),
        where=name_cells(chosen, cells),
        columns=tuple(columns),
        is_without_class=record is not None and record.is_without_class,
    )


def _list_doubts(
    shown: Mapping[str, str], cells: Sequence[CellRecord], records: Sequence[Mapping[str, ModelRecord]]
) -> Iterable[Doubt]:
    """Cells of a model with the same story are told together, in the words of the first."""
    for number, (model, name) in enumerate(shown.items()):
        stories: dict[tuple[str, str], list[int]] = {}
        for index, by_model in enumerate(records):
            record = by_model.get(model)
            if record is None or record.agrees is not False:
                continue
            predicted = record.prediction
            said = (
                "" if predicted is None else f"{predicted.reason}{f' ({predicted.place})' if predicted.place else ''}"
            )
            reading = f"cannot work: {said}" if predicted and predicted.verdict == "fails" else "fits"
            running = ", ".join(f"{b.code} {b.name}" for b in record.breaches[:3]) or WORDS[_tell(record)]
            stories.setdefault((reading, running), []).append(index)
        for (reading, running), columns in stories.items():
            explanation = records[columns[0]][model].explanation
            chosen = [cells[index] for index in columns]
            yield Doubt(
                model=number,
                shown=name,
                predicted=reading,
                ran=running,
                explanation=explanation or "nobody has explained this yet",
                where=name_cells(chosen, cells),
                cells=tuple(cell.cell for cell in chosen),
                columns=tuple(columns),
            )
