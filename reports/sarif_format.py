"""The part of SARIF 2.1.0 that we write, in types: what has no field here cannot be written by mistake.

Source: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0", section 3. Names are turned into
the standard's camelCase; a field that holds its default is left out, which the standard allows for each of them.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Level = Literal["error", "warning", "note"]


class Node(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """One object of the log."""


class Message(Node, frozen=True, kw_only=True):
    """Plain text and Markdown. Where a text could be taken for one with placeholders, braces are doubled (3.11.5)."""

    text: str
    markdown: str = ""


class ArtifactContent(Node, frozen=True, kw_only=True):
    text: str


class Region(Node, frozen=True, kw_only=True):
    """A line, from 1, and what stands there."""

    start_line: int
    snippet: ArtifactContent | None = None


class ArtifactLocation(Node, frozen=True, kw_only=True):
    """`uri` is relative to the folder that `uri_base_id` names."""

    uri: str
    uri_base_id: str


class PhysicalLocation(Node, frozen=True, kw_only=True):
    artifact_location: ArtifactLocation
    region: Region


class LogicalLocation(Node, frozen=True, kw_only=True):
    fully_qualified_name: str
    kind: str


class Location(Node, frozen=True, kw_only=True):
    physical_location: PhysicalLocation
    logical_locations: tuple[LogicalLocation, ...] = ()
    message: Message | None = None


class BaseLocation(Node, frozen=True, kw_only=True):
    """What a `uriBaseId` stands for. Without a URI: it is another folder on each machine."""

    description: Message


class Suppression(Node, frozen=True, kw_only=True):
    kind: Literal["external", "inSource"]
    status: Literal["accepted", "underReview", "rejected"]
    justification: str


class Result(Node, frozen=True, kw_only=True):
    rule_id: str
    rule_index: int
    level: Level
    message: Message
    locations: tuple[Location, ...]
    partial_fingerprints: dict[str, str]
    related_locations: tuple[Location, ...] = ()
    suppressions: tuple[Suppression, ...] = ()
    properties: dict[str, Any] = {}


class Configuration(Node, frozen=True, kw_only=True):
    level: Level


class Rule(Node, frozen=True, kw_only=True):
    id: str
    name: str
    short_description: Message
    full_description: Message
    help: Message
    default_configuration: Configuration
    properties: dict[str, Any] = {}


class Descriptor(Node, frozen=True, kw_only=True):
    """A kind of notification."""

    id: str
    short_description: Message
    default_configuration: Configuration


class Driver(Node, frozen=True, kw_only=True):
    name: str
    semantic_version: str
    full_name: str
    rules: tuple[Rule, ...]
    notifications: tuple[Descriptor, ...]


class Tool(Node, frozen=True, kw_only=True):
    driver: Driver


class Reference(Node, frozen=True, kw_only=True):
    id: str
    index: int


class Notification(Node, frozen=True, kw_only=True):
    level: Level
    message: Message
    descriptor: Reference
    associated_rule: Reference | None = None


class Invocation(Node, frozen=True, kw_only=True):
    execution_successful: bool
    exit_code: int
    tool_execution_notifications: tuple[Notification, ...] = ()
    tool_configuration_notifications: tuple[Notification, ...] = ()


class AutomationDetails(Node, frozen=True, kw_only=True):
    id: str


class Run(Node, frozen=True, kw_only=True):
    tool: Tool
    automation_details: AutomationDetails
    invocations: tuple[Invocation, ...]
    original_uri_base_ids: dict[str, BaseLocation]
    column_kind: Literal["unicodeCodePoints"]
    results: tuple[Result, ...]
    properties: dict[str, Any] = {}


class Log(Node, frozen=True, kw_only=True):
    schema: str = msgspec.field(name="$schema")
    version: Literal["2.1.0"]
    runs: tuple[Run, ...]
