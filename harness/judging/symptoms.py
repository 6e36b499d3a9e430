"""Questions that several diagnoses ask of the same facts, answered in one place so that they agree on who owns what."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable

from preflight_ocr.harness.facts import Batch, Collator, Delta, Facts, Raised, Row, Unknown
from preflight_ocr.harness.judging.findings import Finding

_ALIKE = 0.85  # of difflib's ratio: one or two letters in a name of ten


def show_raised(raised: Raised) -> str:
    """`TypeError: message`, and where it was raised."""
    text = f"{raised.type}: {raised.message}"
    return f"{text} (at {raised.site.file}:{raised.site.line}: {raised.site.code})" if raised.site else text


def is_out_of_memory(kind: str, message: str) -> bool:
    """Whether an exception says that the machine, or the limit that a child runs under, had no memory left."""
    return kind.rpartition(".")[2] == "MemoryError" or "can't allocate memory" in message


def is_same_failure(left: object, right: object) -> bool:
    """Whether two outcomes are one exception met twice: the same words, or the same line of code."""
    if not isinstance(left, Raised) or not isinstance(right, Raised) or left.type != right.type:
        return False
    if left.message == right.message:
        return True
    return left.site is not None and right.site is not None and left.site == right.site


def list_arguments(collator: Collator, *roles: str) -> tuple[str, ...]:
    """The forward arguments that play one of these roles."""
    return tuple(argument for argument, role in collator.roles.items() if role in roles)


def list_deltas(collator: Collator, roles: Iterable[str], kinds: Iterable[str]) -> tuple[Delta, ...]:
    """The differences of these kinds on arguments of these roles; none where there is no reference to compare with."""
    if isinstance(collator.deltas, Unknown):
        return ()
    arguments, kinds = list_arguments(collator, *roles), tuple(kinds)
    return tuple(d for d in collator.deltas if d.argument in arguments and d.kind in kinds)


def show_delta(delta: Delta) -> str:
    """`images[0]: float32 tensor [3, 640, 640], expected list of 2`."""
    return f"{delta.path}: {delta.seen}, expected {delta.expected}"


def list_repaired(facts: Facts) -> frozenset[str]:
    """The arguments that had to be replaced before forward could go on."""
    return frozenset() if isinstance(facts.forward, Unknown) else frozenset(r.argument for r in facts.forward.repairs)


def list_malformed_images(facts: Facts) -> tuple[Delta, ...]:
    """Differences on the pixels that do harm: not another container or size that forward takes as well."""
    if isinstance(facts.collator, Unknown):
        return ()
    repaired, batch = list_repaired(facts), facts.collator.batch

    def is_harmful(delta: Delta) -> bool:
        if delta.kind == "length" and delta.path == delta.argument and isinstance(batch, Batch):
            return batch.rows_in == batch.rows_out  # a lost row shortens every argument alike
        if delta.kind in ("rank", "length") or delta.argument in repaired:
            return True
        return delta.kind == "container" and not _takes_images(facts)

    deltas = list_deltas(facts.collator, ("pixels",), ("container", "length", "rank", "shape"))
    return tuple(d for d in deltas if is_harmful(d))


def list_malformed_tiling(facts: Facts) -> tuple[Delta, ...]:
    """Differences on tiling or grid that do harm: not another spelling, nor other numbers for pages cut otherwise."""
    collator = facts.collator
    if isinstance(collator, Unknown) or not isinstance(collator.batch, Batch):
        return ()
    repaired, batch = list_repaired(facts), collator.batch

    def is_harmful(delta: Delta) -> bool:
        if delta.kind in ("shape", "length"):
            return batch.rows_in == batch.rows_out  # a lost row shortens every argument alike
        if delta.kind == "value" and delta.argument not in repaired:
            if list_moved_rows(collator):
                return False  # a page that came into another row brought its tiling along
            return collator.seen_tiles == collator.planned_tiles and not isinstance(collator.seen_tiles, Unknown)
        return delta.argument in repaired or not _takes_images(facts)

    kinds = ("container", "rank", "shape", "length", "value", "dtype")
    return tuple(d for d in list_deltas(collator, ("tiling", "grid"), kinds) if is_harmful(d))


def list_moved_rows(collator: Collator) -> frozenset[int]:
    """The rows that show another row's page."""
    views = () if isinstance(collator.views, Unknown) else collator.views
    return frozenset(v.row for v in views if v.source_row not in (None, v.row))


def _takes_images(facts: Facts) -> bool:
    """Whether forward took the user's batch as it is and saw every image."""
    if isinstance(facts.forward, Unknown) or isinstance(facts.forward.behaviour, Unknown):
        return False
    return facts.forward.given == "ok" and False not in facts.forward.behaviour.image_reaches


def list_unaccepted_keys(facts: Facts) -> tuple[str, ...]:
    """Keys of the user's batch that forward cannot be called with."""
    if isinstance(facts.forward, Unknown) or isinstance(facts.forward.signature, Unknown):
        return ()
    if isinstance(facts.collator, Unknown) or isinstance(facts.collator.batch, Raised):
        return ()
    signature = facts.forward.signature
    return tuple(key for key in facts.collator.batch.keys if not signature.accepts(key))


def match_swallowed(facts: Facts) -> dict[str, str]:
    """Keys that only `**kwargs` takes and nothing uses, each with the absent argument of forward that it was meant for.

    Meant is the absent argument of nearly the same name; else the absent image argument whose kind of numbers it holds.
    """
    forward, collator = facts.forward, facts.collator
    if isinstance(forward, Unknown) or isinstance(forward.signature, Unknown) or isinstance(forward.idle_keys, Unknown):
        return {}
    if isinstance(collator, Unknown) or isinstance(collator.batch, Raised):
        return {}
    batch = collator.batch
    missing = list_deltas(collator, ("pixels", "placement_mask", "tiling", "grid"), ("missing", "none"))
    images = [delta.argument for delta in missing]
    absent = [name for name in forward.signature.names if name not in batch.keys or name in images]
    meant: dict[str, str] = {}
    for key in (key for key in forward.idle_keys if key in batch.keys):
        free = [name for name in absent if name not in meant.values()]
        near = difflib.get_close_matches(key, free, n=1, cutoff=_ALIKE)
        alike = [name for name in images if name in free and _holds_same(batch, key, collator.reference, name)]
        if near or alike:
            meant[key] = (near or alike)[0]
    return meant


def _holds_same(batch: Batch, key: str, reference: Batch | Unknown, argument: str) -> bool:
    """Whether one argument holds the same kind of numbers, in as many dimensions, as another one of the reference."""
    leaves = () if isinstance(reference, Unknown) else reference.leaves
    theirs = next((leaf for leaf in leaves if leaf.argument == argument), None)
    mine = next((leaf for leaf in batch.leaves if leaf.argument == key), None)
    if mine is None or theirs is None or len(mine.shape) != len(theirs.shape):
        return False
    return ("float" in mine.dtype) == ("float" in theirs.dtype)


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


def get_rows(batch: Batch | Raised | Unknown) -> tuple[Row, ...]:
    """The rows of a batch, or none where they could not be read."""
    if isinstance(batch, Raised | Unknown) or isinstance(batch.rows, Unknown):
        return ()
    return batch.rows


def pair_rows(collator: Collator) -> tuple[tuple[int, Row, Row], ...]:
    """(number, the user's row, the reference's row); none where the two batches do not have the same rows."""
    given, reference = get_rows(collator.batch), get_rows(collator.reference)
    if len(given) != len(reference):
        return ()
    return tuple((n, mine, theirs) for n, (mine, theirs) in enumerate(zip(given, reference, strict=True)))


def list_bare_rows(facts: Facts) -> tuple[tuple[int, str], ...]:
    """Rows with an image that should have placeholders and have none, each with the number expected."""
    collator = facts.collator
    if isinstance(collator, Unknown) or collator.placeholder is None:
        return ()
    rows, expected = get_rows(collator.batch), get_rows(collator.reference)
    if isinstance(collator.reference, Unknown):  # every sampled row has an image
        return tuple((n, "at least 1") for n, row in enumerate(rows) if not row.count("i") and not row.truncated)
    if len(rows) == len(expected):
        pairs = list(zip(rows, expected, strict=True))
    else:  # rows were lost on the way: a row is still wrong where no row of the reference is without an image
        pairs = [(row, expected[0]) for row in rows] if expected and all(e.count("i") for e in expected) else []
    return tuple(
        (number, str(theirs.count("i")))
        for number, (mine, theirs) in enumerate(pairs)
        if not mine.count("i") and theirs.count("i") and not cuts_image(mine, theirs)
    )


def count_real(row: Row) -> int:
    """Tokens that are not padding."""
    return len(row.roles) - row.count(".")


def cuts_image(row: Row, reference: Row) -> bool:
    """Whether truncation took image placeholders away: the row ends inside them, or lost its head with all of them."""
    lost = row.count("i") < reference.count("i")
    if row.count("i"):
        # An encoder's prompt is cut by itself: what the decoder is to write stands behind it all the same.
        read = row.roles.partition("t")[0]
        return lost and (row.truncated or read.rstrip(".b").endswith("i"))
    return lost and row.truncated and not row.count("b") and not row.count("p")


def is_placed(row: Row) -> bool:
    """Whether the row has placeholders and the placement mask, where there is one, marks exactly these."""
    return "i" in row.roles and row.marked in ("", mark_placeholders(row))


def mark_placeholders(row: Row) -> str:
    """The placement mask this row should have."""
    return "".join("1" if role == "i" else "0" for role in row.roles)


def count_trained(row: Row, roles: str) -> int:
    """How many tokens with one of these roles are trained on."""
    return sum(row.count(role, row.trained) for role in roles)


def is_copy(row: Row) -> bool:
    """Whether every real token is trained on although some belong to the image or the prompt.

    The first token does not matter: the shift drops its label. Padding may be masked: a copy often is, by id.
    """
    tail = list(zip(row.roles, row.trained, strict=False))[1:]
    inputs = sum(role in "ip" for role, _ in tail)
    # Where the target could not be found among the tokens, a trained prompt proves nothing but a trained image does.
    return inputs > 1 and ("t" in row.roles or "i" in row.roles) and all(f == "1" for r, f in tail if r in "bipte")


def is_ahead(row: Row) -> bool:
    """Whether labels were shifted before the model shifts them again: the trained run lies one token too early."""
    wanted = "".join("1" if role in "te" else "0" for role in row.roles)
    return "t" in row.roles and wanted[:1] == "0" and row.trained == wanted[1:] + "0"


def squeeze(text: str) -> str:
    """Text without what a tokenizer may change on the way: case, width and white space."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def is_supervised(facts: Facts) -> bool:
    """Whether any label is trained on, as far as can be told."""
    rows = () if isinstance(facts.collator, Unknown) else get_rows(facts.collator.batch)
    return not rows or any("1" in row.trained for row in rows)


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
