"""XML that somebody else wrote: no document type, no entities, bounded depth and size, the line of a fault."""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

LARGEST = 64 * 2**20
"""Bytes of an XML file that is read."""

_DEEPEST = 100
_MOST_ELEMENTS = 1_000_000


class BrokenXml(ValueError):
    """The file is no XML, or none that is read. The message says where, and what was expected."""


def parse_xml(data: bytes, name: str) -> Element:
    """The tree of the document, its names without their namespaces.

    A document type is refused, and with it every entity: nothing is expanded and no other file is opened. Raises BrokenXml,
    which begins with `name`.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    depth = count = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth, count
        depth, count = depth + 1, count + 1
        if depth > _DEEPEST or count > _MOST_ELEMENTS:
            most = f"at most {_MOST_ELEMENTS:,} elements, {_DEEPEST} deep"
            raise BrokenXml(f"{name}:{parser.CurrentLineNumber}: expected {most}; this is not a page")
        builder.start(_strip(tag), {_strip(key): value for key, value in attributes.items()})

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(_strip(tag))

    def refuse(*_: Any) -> None:
        seen = f"{name}:{parser.CurrentLineNumber}: declares a document type, which can hold entities and is never read"
        raise BrokenXml(f"{seen}; take <!DOCTYPE ...> out")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise BrokenXml(f"{name}:{error.lineno}: broken XML: {expat.ErrorString(error.code)}") from None
    except (LookupError, ValueError) as error:  # an encoding that nobody knows
        if isinstance(error, BrokenXml):
            raise
        raise BrokenXml(f"{name}: cannot be read as XML: {error}") from None
    return builder.close()


def _strip(tag: str) -> str:
    return tag.rpartition("}")[2]
