"""A log opened in the machine's code page, cp1252; near it, the same call on a machine whose default is UTF-8."""

from preflight_ocr.harness.facts import Site
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

LOG = Site(file="trainer.py", line=12, code='log = open("train.log", "w")', kind="no encoding", runs=None)

HEALTHY = altered(RUN, {"subject.files_without_utf8": (LOG,)})
SICK = altered(HEALTHY, {"environment.text_encoding": "cp1252"})
