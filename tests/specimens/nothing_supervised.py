"""Every label is -100; a healthy row that asks for nothing has none to give."""

from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(
    RUN,
    {
        "collator.batch.rows.1.trained": "0" * 20,
        "collator.batch.rows.1.supervised_text": "",
        "collator.batch.rows.1.target_text": "",
    },
)
SICK = altered(
    RUN,
    {f"collator.batch.rows.{row}.trained": "0" * 20 for row in (0, 1)}
    | {f"collator.batch.rows.{row}.supervised_text": "" for row in (0, 1)}
    | {f"learning.census.{index}.with_gradient": 0 for index in (0, 1)}
    | {"learning.losses": (0.0, 0.0, 0.0)},
)
