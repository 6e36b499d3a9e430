"""PAGE-XML and ALTO: the picture that a layout file is about, and its lines in reading order with their text and place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element

import msgspec

from preflight_ocr.harness.foreign.xml_text import BrokenXml, parse_xml

Box = tuple[float, float, float, float]
_ORDERED = re.compile(r"readingOrder\s*\{\s*index\s*:\s*(\d+)")


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a page. `box` is left, top, right, bottom in the layout's own unit; None where it has no place."""

    name: str
    text: str
    box: Box | None


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """`picture` is the file that the layout names; `width` and `height` of the page in its own unit, 0 where not said."""

    picture: str
    width: float
    height: float
    lines: tuple[Line, ...]


def parse_layout(data: bytes, name: str) -> Layout:
    """Raises BrokenXml, also for XML that is neither PAGE nor ALTO (its message then ends in "nor ALTO")."""
    root = parse_xml(data, name)
    if root.tag == "PcGts":
        return _read_page(_require_one(root, "Page", name), name)
    if root.tag.lower() == "alto":
        return _read_alto(root, name)
    raise BrokenXml(f"{name}: its root is <{root.tag[:40]}>, which is neither PAGE nor ALTO")


def is_other_xml(error: BrokenXml) -> bool:
    """Whether the file is sound XML of another kind."""
    return str(error).endswith("neither PAGE nor ALTO")


def _require_one(root: Element, tag: str, name: str) -> Element:
    found = list(root.iter(tag))
    if len(found) != 1:
        raise BrokenXml(f"{name}: has {len(found)} times <{tag}>, expected one page")
    return found[0]


# ---- PAGE


def _read_page(page: Element, name: str) -> Layout:
    lines = [line for region in _order_regions(page) for line in _sort(region.findall("TextLine"))]
    return Layout(
        picture=page.get("imageFilename", ""),
        width=_read_number(page.get("imageWidth")),
        height=_read_number(page.get("imageHeight")),
        lines=tuple(
            Line(
                name=line.get("id") or f"line {number}",
                text=_read_equivalent(line),
                box=_bound((line.find("Coords").get("points") if line.find("Coords") is not None else None) or ""),  # type: ignore[union-attr]
            )
            for number, line in enumerate(lines, 1)
        ),
    )


def _order_regions(page: Element) -> list[Element]:
    """Regions that have lines: those of the reading order first, the others as they stand; in cells of tables as well."""
    regions = [element for element in page.iter() if element.find("TextLine") is not None]
    order = page.find("ReadingOrder")
    if order is None:
        return _sort(regions)
    places = {reference: place for place, reference in enumerate(_list_references(order))}
    return sorted(regions, key=lambda region: places.get(region.get("id", ""), len(places)))


def _list_references(group: Element) -> Iterator[str]:
    children = list(group)
    if all((child.get("index") or "").isdecimal() for child in children):
        children.sort(key=lambda child: int(child.get("index", "0")))
    for child in children:
        if reference := child.get("regionRef"):
            yield reference
        yield from _list_references(child)


def _sort(elements: list[Element]) -> list[Element]:
    """By the index that Transkribus writes into `custom`, where every one has it."""
    places = [_ORDERED.search(element.get("custom", "")) for element in elements]
    if not all(places):
        return elements
    return [element for _, element in sorted(zip(places, elements, strict=True), key=lambda pair: int(pair[0][1]))]  # type: ignore[index]


def _read_equivalent(line: Element) -> str:
    """The line's own text, the first of several readings; else its words."""
    readings = sorted(line.findall("TextEquiv"), key=lambda one: _read_number(one.get("index")))
    for reading in readings[:1]:
        return reading.findtext("Unicode") or ""
    return " ".join(filter(None, (_read_equivalent(word) for word in line.findall("Word"))))


# ---- ALTO


def _read_alto(root: Element, name: str) -> Layout:
    page = _require_one(root, "Page", name)
    return Layout(
        picture=next((element.text or "" for element in root.iter("fileName")), "").strip(),
        width=_read_number(page.get("WIDTH")),
        height=_read_number(page.get("HEIGHT")),
        lines=tuple(
            Line(name=line.get("ID") or f"line {number}", text=_join_strings(line), box=_read_box(line))
            for number, line in enumerate(page.iter("TextLine"), 1)
        ),
    )


def _join_strings(line: Element) -> str:
    words = " ".join(string.get("CONTENT", "") for string in line.findall("String"))
    return words + "".join(hyphen.get("CONTENT", "") for hyphen in line.findall("HYP"))


def _read_box(line: Element) -> Box | None:
    if (polygon := line.find("Shape/Polygon")) is not None:
        return _bound(polygon.get("POINTS", ""))
    left, top, width, height = (_read_number(line.get(key), -1) for key in ("HPOS", "VPOS", "WIDTH", "HEIGHT"))
    return (left, top, left + width, top + height) if min(left, top) >= 0 and min(width, height) > 0 else None


def _bound(points: str) -> Box | None:
    """The box around `x,y x,y ...`, or around `x y x y ...`, which ALTO allows as well."""
    try:
        numbers = [float(number) for number in re.split(r"[\s,]+", points.strip())[:20_000] if number]
    except ValueError:
        return None
    across, down = numbers[::2], numbers[1::2]
    if len(across) < 2 or len(across) != len(down) or not all(abs(number) < 1e9 for number in numbers):
        return None
    return min(across), min(down), max(across), max(down)


def _read_number(text: str | None, default: float = 0.0) -> float:
    try:
        number = float(text or default)
    except ValueError:
        return default
    return number if abs(number) < 1e9 else default
