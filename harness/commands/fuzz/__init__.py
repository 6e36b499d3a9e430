"""Generated rows against what every collator owes its model.

    preflight_ocr.harness.commands.fuzz.samples     a sample as plain data, painted, written to a folder and read back
    preflight_ocr.harness.commands.fuzz.strategies  what is drawn (the only file that needs Hypothesis)
    preflight_ocr.harness.commands.fuzz.bench       the parts that are driven
    preflight_ocr.harness.commands.fuzz.promises    what must hold for a batch, whatever its rows
    preflight_ocr.harness.commands.fuzz.search      draw, try, shrink
    preflight_ocr.harness.commands.fuzz.command     the same in a child with limits, for `preflight fuzz`

Nothing heavy is imported here.
"""

from __future__ import annotations
