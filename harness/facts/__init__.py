"""The facts that probes return: plain, frozen, comparable data.

A probe looks and writes down what it saw; a diagnosis reads these facts and judges. Every section, and every field whose
answer can be out of reach, may be `Unknown(reason)` instead. Nothing here is guessed: a default means "looked, and there
was none", never "did not look". Facts make the JSON round trip (`to_json`, `from_json`) and carry a digest.
"""

from __future__ import annotations

import hashlib

import msgspec

from preflight_ocr.harness.facts.accelerator import (
    Accelerator,
    AttentionTry,
    Device,
    LoaderTry,
    Precision,
    Stray,
    Wait,
)
from preflight_ocr.harness.facts.base import Cause, Fact, Parameter, Raised, Signature, Site, Unknown, blank
from preflight_ocr.harness.facts.learning import (
    NEUTRAL_SETTINGS,
    Adapter,
    AlikeRows,
    Carrier,
    Census,
    Growth,
    Learning,
    Quantised,
    Recipe,
    Recital,
    RoundTrip,
    Target,
    Uneven,
)
from preflight_ocr.harness.facts.memory import MemoryChange, MemoryForecast, Peak, RehearsedStep, Share
from preflight_ocr.harness.facts.preparing import (
    OURS,
    Batch,
    BoxedRow,
    Brought,
    Collator,
    Delta,
    Grid,
    Leaf,
    Opened,
    PixelView,
    Processor,
    Row,
    Unwritable,
)
from preflight_ocr.harness.facts.reading import (
    ApiUse,
    ChatTemplate,
    Checkpoint,
    Configuration,
    Dataset,
    Environment,
    Import,
    InstalledCard,
    KeyFact,
    ProcessorFiles,
    Repository,
    RowProblem,
    Spellings,
    Split,
    Subject,
    Token,
    Tokenizer,
)
from preflight_ocr.harness.facts.rehearsal import FailedCallback, KeptOutputs, Rehearsal
from preflight_ocr.harness.facts.running import (
    Agreement,
    Behaviour,
    Clash,
    Ends,
    Forward,
    HostCopy,
    Landing,
    LostBuffer,
    NamedCard,
    Operand,
    Origin,
    Placement,
    Positions,
    Repair,
    ReturnedTensor,
    RowLength,
    Synchronisation,
    Undecided,
    Unmoved,
    Wrapper,
)

NOT_RUN = Unknown(reason="not run")


class Facts(Fact, kw_only=True):
    """Everything the probes saw, in one frozen value."""

    environment: Environment | Unknown = NOT_RUN
    configuration: Configuration | Unknown = NOT_RUN
    repository: Repository | Unknown = NOT_RUN
    tokenizer: Tokenizer | Unknown = NOT_RUN
    processor_files: ProcessorFiles | Unknown = NOT_RUN
    subject: Subject | Unknown = NOT_RUN
    dataset: Dataset | Unknown = NOT_RUN
    processor: Processor | Unknown = NOT_RUN
    collator: Collator | Unknown = NOT_RUN
    forward: Forward | Unknown = NOT_RUN
    adapter: Adapter | Unknown = NOT_RUN
    learning: Learning | Unknown = NOT_RUN
    rehearsal: Rehearsal | Unknown = NOT_RUN
    memory: MemoryForecast | Unknown = NOT_RUN
    device: Device | Unknown = NOT_RUN
    accelerator: Accelerator | Unknown = NOT_RUN

    def to_json(self) -> bytes:
        """UTF-8 JSON with sorted keys: equal facts give equal bytes."""
        return msgspec.json.encode(self, order="sorted")

    @staticmethod
    def from_json(text: bytes | str) -> Facts:
        """The inverse of `to_json`. Raises msgspec.ValidationError on anything else."""
        return msgspec.json.decode(text, type=Facts)

    def digest(self) -> str:
        """A sha256 over `to_json`, in hexadecimal."""
        return hashlib.sha256(self.to_json()).hexdigest()

    def unknown_on(self, path: str) -> Unknown | None:
        """The first Unknown met on a dotted path such as `collator.batch.rows`, or None when all of it is known."""
        here: object = self
        for step in path.split("."):
            here = getattr(here, step)
            if isinstance(here, Unknown):
                return here
            if isinstance(here, Raised):
                return Unknown(reason=f"{path} could not be looked at: {here.type}: {here.message}")
            if here is None:
                return Unknown(reason=f"{path}: there is none")
        return None


__all__ = [
    "NEUTRAL_SETTINGS",
    "NOT_RUN",
    "OURS",
    "Accelerator",
    "Adapter",
    "Agreement",
    "AlikeRows",
    "ApiUse",
    "AttentionTry",
    "Batch",
    "Behaviour",
    "BoxedRow",
    "Brought",
    "Carrier",
    "Cause",
    "Census",
    "ChatTemplate",
    "Checkpoint",
    "Clash",
    "Collator",
    "Configuration",
    "Dataset",
    "Delta",
    "Device",
    "Ends",
    "Environment",
    "Fact",
    "Facts",
    "FailedCallback",
    "Forward",
    "Grid",
    "Growth",
    "HostCopy",
    "Import",
    "InstalledCard",
    "KeptOutputs",
    "KeyFact",
    "Landing",
    "Leaf",
    "Learning",
    "LoaderTry",
    "LostBuffer",
    "MemoryChange",
    "MemoryForecast",
    "NamedCard",
    "Opened",
    "Operand",
    "Origin",
    "Parameter",
    "Peak",
    "PixelView",
    "Placement",
    "Positions",
    "Precision",
    "Processor",
    "ProcessorFiles",
    "Quantised",
    "Raised",
    "Recipe",
    "Recital",
    "Rehearsal",
    "RehearsedStep",
    "Repair",
    "Repository",
    "ReturnedTensor",
    "RoundTrip",
    "Row",
    "RowLength",
    "RowProblem",
    "Share",
    "Signature",
    "Site",
    "Spellings",
    "Split",
    "Stray",
    "Subject",
    "Synchronisation",
    "Target",
    "Token",
    "Tokenizer",
    "Undecided",
    "Uneven",
    "Unknown",
    "Unmoved",
    "Unwritable",
    "Wait",
    "Wrapper",
    "blank",
]
