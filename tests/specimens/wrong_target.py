"""The first words have no label; a healthy tokenizer changes case and white space."""

from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(RUN, {"collator.batch.rows.0.supervised_text": "жили - были дед  и баба <|end|>"})
SICK = altered(RUN, {"collator.batch.rows.0.supervised_text": "и баба<|end|>"})
