"""Generated rows against what every collator owes its model.

    harness.fuzz.samples     a sample as plain data, painted, written to a folder and read back
    harness.fuzz.strategies  what is drawn (the only file that needs Hypothesis)
    harness.fuzz.bench       the parts that are driven
    harness.fuzz.promises    what must hold for a batch, whatever its rows
    harness.fuzz.search      draw, try, shrink
    harness.fuzz.command     the same in a child with limits, for `preflight fuzz`

Nothing heavy is imported here.
"""

from __future__ import annotations
