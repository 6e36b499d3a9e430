from preflight_ocr.harness.facts import Unknown
from tests.specimens import altered
from tests.specimens.unpinned_revision import SICK


def test_a_branch_name_is_reported_as_able_to_move(findings_of):
    [finding] = findings_of("unpinned_revision", SICK)
    assert "'main', which can move" in finding.summary


def test_a_repository_that_could_not_be_read_is_taken_to_bring_code(findings_of):
    assert findings_of("unpinned_revision", altered(SICK, {"repository": Unknown(reason="not downloaded")}))


def test_weights_without_code_need_no_pin(findings_of):
    assert findings_of("unpinned_revision", altered(SICK, {"repository.has_remote_code": False})) == ()
