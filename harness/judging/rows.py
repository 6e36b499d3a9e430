"""What the rows of a batch say, for every diagnosis that reads them: tokens, roles, placeholders and labels."""

from __future__ import annotations

from collections.abc import Sequence

from preflight_ocr.harness.facts import Batch, Collator, Facts, Raised, Row, Unknown


def get_rows(batch: Batch | Raised | Unknown) -> tuple[Row, ...]:
    """The rows of a batch, or none where they could not be read."""
    if isinstance(batch, Raised | Unknown) or isinstance(batch.rows, Unknown):
        return ()
    return batch.rows


def is_packed(batch: Batch) -> bool:
    """Whether all rows stand in fewer sequences: packing, which loses nothing."""
    return batch.rows_out < batch.rows_in == len(get_rows(batch))


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


def excuse_unfound_target(rows: Sequence[Row]) -> str:
    """Why nothing can be said about targets: of no row was the text found among the tokens. "" where of one it was."""
    if not any(row.target_text.strip() for row in rows) or any("t" in row.roles for row in rows):
        return ""
    return "the rows' text was not found among their tokens: it was cut away, or written anew before training"


def is_supervised(facts: Facts) -> bool:
    """Whether any label is trained on, as far as can be told."""
    rows = () if isinstance(facts.collator, Unknown) else get_rows(facts.collator.batch)
    return not rows or any("1" in row.trained for row in rows)
