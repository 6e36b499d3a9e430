from tests.specimens import altered
from tests.specimens.growing_process import HEALTHY, SICK


def test_what_grows_is_named_with_its_holder_and_the_bytes_of_a_round(findings_of):
    [finding] = findings_of("growing_process", SICK)
    assert "live tensors; they are held by KeepingCollator.seen" in finding.summary
    assert "10,000 bytes of tensors are kept of each round" in finding.evidence


def test_files_that_stay_open_are_named(findings_of):
    [finding] = findings_of("growing_process", altered(HEALTHY, {"learning.growth.files": (14, 17, 20, 23, 26, 29)}))
    assert "open files" in finding.summary


def test_what_is_let_go_once_in_a_while_is_silent(findings_of):
    ragged = {"learning.growth.tensors": (310, 314, 318, 310, 314, 318)}
    assert findings_of("growing_process", altered(HEALTHY, ragged)) == ()


def test_a_process_that_stays_as_it_is_is_silent(findings_of):
    assert findings_of("growing_process", HEALTHY) == ()


def test_a_list_of_numbers_alone_is_minor(findings_of):
    counts = {"learning.growth.entries": (1, 4, 7, 10, 13)}
    [finding] = findings_of("growing_process", altered(HEALTHY, counts))
    assert finding.severity.value == "MINOR"
