"""What an exception says, and when it is another diagnosis's, or nobody's."""

from __future__ import annotations

from collections.abc import Iterable

from preflight_ocr.harness.facts import Facts, Raised, Unknown
from preflight_ocr.harness.isolation.closing import CLOSED_BY_US
from preflight_ocr.harness.judging.findings import Finding


def show_raised(raised: Raised) -> str:
    """`TypeError: message`, without its full stop, and where it was raised: it stands inside a sentence."""
    text = f"{raised.type}: {raised.message.rstrip().removesuffix('.')}"
    return f"{text} (at {raised.site.file}:{raised.site.line}: {raised.site.code})" if raised.site else text


def excuse_closed(raised: object) -> str:
    """Why an exception says nothing about training: what a check closes around foreign code has caused it."""
    return raised.message if isinstance(raised, Raised) and raised.type == CLOSED_BY_US else ""


def is_out_of_memory(kind: str, message: str) -> bool:
    """Whether an exception says that the machine, or the limit that a child runs under, had no memory left."""
    return kind.rpartition(".")[2] in ("MemoryError", "_ArrayMemoryError") or "can't allocate memory" in message


def is_same_failure(left: object, right: object) -> bool:
    """Whether two outcomes are one exception met twice: the same words, or the same line of code."""
    if not isinstance(left, Raised) or not isinstance(right, Raised) or left.type != right.type:
        return False
    if left.message == right.message:
        return True
    return left.site is not None and right.site is not None and left.site == right.site


UNICODE_ERRORS = ("UnicodeEncodeError", "UnicodeDecodeError")


def list_read_owners(facts: Facts, raised: Raised) -> tuple[str, ...]:
    """Names of the diagnoses that reading alone could make, and that own the cause of this exception if they do."""
    if raised.type in UNICODE_ERRORS:
        return ("legacy_encoding",)
    if raised.site is None or isinstance(facts.subject, Unknown):
        return ()
    here = (raised.site.file, raised.site.line)
    absent = {(use.site.file, use.site.line) for use in facts.subject.absent_names}
    return ("removed_api",) if here in absent else ()


def excuse_unread_code(facts: Facts, found: Iterable[Finding]) -> str:
    """Why nothing can be said for the model's own code as a whole: a file of it was not there to be read.

    What the files that could be read show stands: nothing is excused where anything was `found`.
    """
    if next(iter(found), None) is not None:
        return ""
    unread = () if isinstance(facts.repository, Unknown) else facts.repository.unread_code
    return unread[0] if unread else ""


def list_rejected(facts: Facts) -> tuple[str, ...]:
    """Keywords that PEFT's task type adds to every call and the model refuses: by its signature, or, where that takes any
    keyword and hands it on, by what a training step raised.
    """
    if isinstance(facts.adapter, Unknown) or facts.adapter.rejected:
        return () if isinstance(facts.adapter, Unknown) else facts.adapter.rejected
    raised = None if isinstance(facts.learning, Unknown) else facts.learning.training
    if not isinstance(raised, Raised) or "unexpected keyword argument" not in raised.message:
        return ()
    return tuple(name for name in facts.adapter.injected if f"'{name}'" in raised.message)


def list_before_the_run(facts: Facts) -> tuple[object, ...]:
    """How everything ended that was done before a run was rehearsed: what was raised there belongs there."""
    before: list[object] = [find_checkpointing_failure(facts)]
    if not isinstance(facts.collator, Unknown):
        before.append(facts.collator.batch)
    if not isinstance(facts.forward, Unknown):
        before += [facts.forward.loading, facts.forward.given, facts.forward.reference]
        before += [repair.raised for repair in facts.forward.repairs]
    if not isinstance(facts.adapter, Unknown):
        before.append(facts.adapter.raised)
    if not isinstance(facts.learning, Unknown):
        before += [facts.learning.training, facts.learning.mixed_precision, facts.learning.checkpointing]
    return tuple(before)


def find_checkpointing_failure(facts: Facts) -> Raised | None:
    """The exception that gradient checkpointing causes in this set-up, if it is in use and does."""
    if isinstance(facts.learning, Unknown):
        return None
    asked = isinstance(facts.configuration, Unknown) or facts.configuration.gradient_checkpointing
    if asked and isinstance(facts.learning.checkpointing, Raised):
        return facts.learning.checkpointing
    training = facts.learning.training
    # Only embeddings whose output was made to require a gradient raise this, and only checkpointing makes them so.
    return training if isinstance(training, Raised) and "view of a leaf Variable" in training.message else None


def excuse_card(facts: Facts) -> str:
    """Why a step that failed on the card says nothing about the card; empty where it does, or did not fail."""
    raised = None if isinstance(facts.accelerator, Unknown) else facts.accelerator.precisions[0].step
    if not isinstance(raised, Raised):
        return ""
    if raised.type == "OutOfMemoryError":
        return f"the card had not enough free memory: {raised.message[:200]}"
    learning = facts.learning
    before = () if isinstance(learning, Unknown) else (learning.training, learning.mixed_precision)
    if any(is_same_failure(raised, other) for other in before):
        return f"the step fails on the CPU in the same way: {raised.type}: {raised.message[:200]}"
    return ""
