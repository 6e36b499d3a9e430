import pytest

from preflight_ocr.harness.facts import FailedCallback, Raised, Site
from preflight_ocr.harness.judging.findings import Severity
from tests.specimens import HEALTHY, altered
from tests.specimens.legacy_encoding import LOG, SICK

DIED = Raised(type="UnicodeEncodeError", message="'charmap' codec can't encode characters", site=None)
CALLBACK = FailedCallback(callback="Log", event="on_log", raised=DIED)


def test_a_log_in_the_machines_code_page_is_reported_with_its_line(findings_of):
    [finding] = findings_of("legacy_encoding", SICK)
    assert any("trainer.py:12" in line for line in finding.evidence)
    assert finding.severity is Severity.MAJOR


def test_a_code_page_named_in_the_call_is_reported_on_any_machine(findings_of):
    site = Site(
        file="trainer.py", line=3, code='open(p, "w", encoding="cp1251")', kind="legacy code page: cp1251", runs=None
    )
    assert len(findings_of("legacy_encoding", altered(HEALTHY, {"subject.files_without_utf8": (site,)}))) == 1


def test_a_legacy_console_alone_is_minor_where_no_part_of_the_user_prints(findings_of):
    [finding] = findings_of("legacy_encoding", altered(HEALTHY, {"environment.stdout_encoding": "ANSI_X3.4-1968"}))
    assert finding.severity is Severity.MINOR


@pytest.mark.parametrize("changes", [{"rehearsal.trainer": DIED}, {"rehearsal.callbacks": (CALLBACK,)}])
def test_a_text_that_was_seen_to_end_the_run_holds_it_back(findings_of, changes):
    [finding] = findings_of("legacy_encoding", altered(SICK, changes))
    assert finding.severity is Severity.BLOCKER


def test_another_exception_of_the_run_makes_it_no_worse(findings_of):
    other = Raised(type="ValueError", message="no", site=None)
    [finding] = findings_of("legacy_encoding", altered(SICK, {"rehearsal.trainer": other}))
    assert finding.severity is Severity.MAJOR


def test_ascii_rows_fit_any_code_page(findings_of):
    changes = {"dataset.text_is_ascii": True, "subject.files_without_utf8": (LOG,)}
    assert findings_of("legacy_encoding", altered(SICK, changes)) == ()
