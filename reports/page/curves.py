"""Loss, error rates, learning rate and memory as SVG curves, drawn by matplotlib and made to fit the page.

matplotlib writes colours into style attributes; the page allows neither, since its policy forbids inline styles and its
colours follow the reader's scheme. So each colour is drawn with a stand-in and becomes a class of the style sheet.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import msgspec
from markupsafe import Markup

from preflight_ocr.harness.config.packages import tell_absent
from preflight_ocr.harness.facts import Facts, Forward, Learning, Unknown
from preflight_ocr.harness.facts.history import MEMORY, RunHistory

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
INCHES = (4.6, 2.5)

_CLASSES: Mapping[str, str] = {
    "#000001": "ink", "#000002": "dim", "#000003": "line", "#000004": "first", "#000005": "second", "#000006": "third",
}  # fmt: skip
_COLOURS = {name: colour for colour, name in _CLASSES.items()}
_KEPT = (
    "stroke-width", "stroke-linecap", "stroke-linejoin", "stroke-dasharray", "stroke-dashoffset", "stroke-opacity",
    "fill-opacity", "fill-rule", "opacity", "text-anchor",
)  # fmt: skip

Point = tuple[int, float | None]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One series. `colour` names a class; a value of None leaves a gap. `is_level` draws one value across the chart."""

    name: str
    points: tuple[Point, ...]
    colour: str
    is_level: bool = False


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """One chart with its figures. `rows` are the drawn numbers as text under `heads`; `note` says what is missing."""

    title: str
    caption: str
    svg: Markup
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def draw_learning(facts: Facts) -> Iterator[Curve]:
    """The check's own steps: one batch repeated."""
    learning = facts.learning
    if not isinstance(learning, Learning) or isinstance(learning.losses, Unknown) or not learning.losses:
        return
    points = tuple((step + 1, loss) for step, loss in enumerate(learning.losses))
    lines = [Line(name="loss", points=points, colour="first")]
    forward = facts.forward
    if isinstance(forward, Forward) and not isinstance(forward.uniform_loss, Unknown) and forward.uniform_loss:
        guess = ((points[0][0], forward.uniform_loss), (points[-1][0], forward.uniform_loss))
        lines.append(Line(name="guessing: ln(vocabulary)", points=guess, colour="third", is_level=True))
    first, last = learning.losses[0], learning.losses[-1]
    yield _draw(
        "One batch repeated",
        f"Loss of the check's own steps on one batch: {first:.3f} at the first, {last:.3f} at the last of {len(points)}.",
        lines,
        across="step",
    )


def draw_run(run: RunHistory) -> Iterator[Curve]:
    """Loss, error rates, learning rate and memory of a training run, as far as it logged them."""
    losses = [
        Line(name=name, points=run.series(key), colour=colour)
        for name, key, colour in (("loss", "loss", "first"), ("on held-out rows", "eval_loss", "second"))
        if run.series(key)
    ]
    if losses:
        yield _draw("Loss", f"Loss of the run: {_tell_ends(losses[0].points)}.", losses, across="step")
    read = [
        Line(name=name, points=_order(run.series(key)), colour=colour)
        for name, key, colour in (("CER", "eval_cer", "first"), ("WER", "eval_wer", "second"))
        if run.series(key)
    ]
    if read:
        caption = f"Error rates of held-out rows: CER {_tell_ends(read[0].points)}."
        yield _draw("CER and WER", caption, read, across="step", from_zero=True)
    rates = run.series("learning_rate")
    if rates:
        line = Line(name="learning rate", points=rates, colour="first")
        yield _draw("Learning rate", f"Learning rate of the run: {_tell_ends(rates)}.", [line], across="step")
    if run.memory:
        kinds = {entry.measured for entry in run.entries if entry.memory is not None}
        said = MEMORY.get(next(iter(kinds)), "memory") if len(kinds) == 1 else "memory"
        points = tuple((step, size / 2**20) for step, size in run.memory)
        line = Line(name="MiB", points=points, colour="first")
        highest = max(size for _, size in run.memory)
        caption = f"{said.capitalize()}: at most {highest / 2**20:,.0f} MiB at a logged step."
        yield _draw("Memory in MiB", caption, [line], across="step", from_zero=True)


def _order(points: Sequence[Point]) -> tuple[Point, ...]:
    """By step: weights that were loaded again at the end may have been read behind later ones."""
    return tuple(sorted(dict(points).items()))


def _tell_ends(points: Sequence[Point]) -> str:
    known = [value for _, value in points if value is not None]
    return f"{_spell(known[0])} at first, {_spell(known[-1])} at last" if known else "no number was finite"


def _draw(title: str, caption: str, lines: Sequence[Line], *, across: str, from_zero: bool = False) -> Curve:
    measured = [line for line in lines if not line.is_level]
    steps = sorted({step for line in measured for step, _ in line.points})
    values = [dict(line.points) for line in measured]
    lost = sum(value is None for line in measured for _, value in line.points)
    left_out = f"{lost} logged values were not finite and are left out of the curve." if lost else ""
    absent = tell_absent("drawing this curve", ("matplotlib",))
    return Curve(
        title=title,
        caption=caption,
        svg=Markup() if absent else _plot(title, lines, across=across, from_zero=from_zero),
        heads=(across, *(line.name for line in measured)),
        rows=tuple((str(step), *(_spell(given[step]) if step in given else "" for given in values)) for step in steps),
        note=f"{absent}. The figures are below." if absent else left_out,
    )


def _spell(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def _plot(title: str, lines: Sequence[Line], *, across: str, from_zero: bool) -> Markup:
    """The chart as an svg element that can stand in a page: the same bytes for the same numbers."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    settings: dict[Any, Any] = {
        "svg.fonttype": "none", "svg.hashsalt": title, "font.size": 9, "path.simplify": True,
        "text.parse_math": False, "axes.formatter.useoffset": False, "axes.formatter.limits": (-4, 6),
        **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), _COLOURS["dim"]),
    }  # fmt: skip
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=INCHES, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        figure.patch.set_visible(False)
        axes.patch.set_visible(False)
        for line in lines:
            _add(axes, line)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set_color(_COLOURS["line"])
        axes.grid(visible=True, axis="y", color=_COLOURS["line"], linewidth=0.6)
        axes.tick_params(length=0)
        axes.set_axisbelow(True)
        axes.set_xlabel(across)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
        axes.margins(x=0.03, y=0.08)
        if from_zero:
            axes.set_ylim(bottom=0)
        if len(lines) > 1:
            axes.legend(frameon=False, fontsize=8.5, labelcolor=_COLOURS["ink"])
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return adapt(file.getvalue(), name=title)


def _add(axes: Any, line: Line) -> None:
    steps = [step for step, _ in line.points]
    values = [float("nan") if value is None else value for _, value in line.points]
    if line.is_level:
        axes.axhline(values[0], color=_COLOURS[line.colour], linewidth=1, linestyle=(0, (4, 3)), label=line.name)
        return
    marker = "o" if len(steps) <= 30 else ""
    axes.plot(steps, values, color=_COLOURS[line.colour], linewidth=1.8, marker=marker, markersize=3, label=line.name)


def adapt(text: str, *, name: str) -> Markup:
    """matplotlib's SVG without its preamble, its styles and its colours; ids are kept apart by `name`.

    What is not a known property of a drawn thing is dropped. The text in it was escaped by matplotlib and is again here.
    """
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    root = ElementTree.fromstring(re.sub(r"<!DOCTYPE.*?>", "", text, count=1, flags=re.DOTALL))
    prefix = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style"):
                parent.remove(child)
    used = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", text))
    for element in root.iter():
        _dress(element)
        for key, value in list(element.attrib.items()):
            if key == "id":
                element.attrib.pop(key)
                if value in used:
                    element.set("id", f"{prefix}-{value}")
            elif key == f"{{{XLINK}}}href":
                element.attrib.pop(key)
                element.set("href", f"#{prefix}-{value.removeprefix('#')}")
            elif "url(#" in value:
                element.set(key, value.replace("url(#", f"url(#{prefix}-"))
    width, height = (float(root.attrib[side].removesuffix("pt")) for side in ("width", "height"))
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("viewBox", f"0 0 {width:g} {height:g}")
    root.set("class", "chart")
    root.set("aria-hidden", "true")  # the caption says what is to be seen, a table holds every number
    root.set("focusable", "false")
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _dress(element: ElementTree.Element) -> None:
    """Style and colours as classes and attributes."""
    style = element.attrib.pop("style", "")
    given = dict(part.split(":", 1) for part in style.split(";") if ":" in part)
    given = {key.strip(): value.strip() for key, value in given.items()}
    for key in ("fill", "stroke"):
        if key in element.attrib:
            given.setdefault(key, element.attrib.pop(key))
    classes = []
    for key, value in given.items():
        if key in ("fill", "stroke"):
            shown = _CLASSES.get(value.lower())
            if shown:
                classes.append(f"{key}-{shown}")
            else:
                element.set(key, "none" if value == "none" else "currentColor")
        elif key in _KEPT:
            element.set(key, value)
        elif key in ("font", "font-size") and (size := re.search(r"([\d.]+)px", value)):
            element.set("font-size", size[1])
    if classes:
        element.set("class", " ".join(classes))
