"""A row that ends in the middle of its text, without an end token."""

from tests.specimens import HEALTHY, altered, write_row

__all__ = ["HEALTHY", "SICK"]

CUT = altered(HEALTHY, {"collator.batch.rows.0": write_row("biiiiiiipppptttttttt", target="Жили-были дед и баба")})
SICK = altered(
    CUT,
    {
        "collator.batch.rows.0.truncated": True,
        "collator.batch.rows.0.supervised_text": "Жили-были дед",
        "configuration.max_seq_length": 20,
    },
)
