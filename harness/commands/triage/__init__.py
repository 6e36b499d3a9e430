"""From a pasted traceback or a training log to the diagnosis behind it: what `preflight diagnose` does.

    from preflight_ocr.harness.commands.triage import diagnose
    answer = diagnose(open("train.log", "rb"))
    answer.recognised[0].pointers[0].name       # "unaccepted_batch_key"

`table/` declares every message that is known; a new wording of one is one more pattern of its entry. Nothing is run and
nothing heavy is imported, unless a CONFIG is given to confirm by its contracts.
"""

from preflight_ocr.harness.commands.triage.answer import Pointer, Recognised, TriageAnswer, Unrecognised
from preflight_ocr.harness.commands.triage.confirm import confirm
from preflight_ocr.harness.commands.triage.diagnose import diagnose
from preflight_ocr.harness.commands.triage.vocabulary import read_vocabulary

__all__ = ["Pointer", "Recognised", "TriageAnswer", "Unrecognised", "confirm", "diagnose", "read_vocabulary"]
