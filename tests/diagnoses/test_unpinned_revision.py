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


def test_the_commit_that_lies_in_the_cache_is_the_one_to_pin(findings_of):
    commit = "9f30c71f441d010e5429c532364a86705536c53a"
    [finding] = findings_of("unpinned_revision", altered(SICK, {"repository.path": f"/cache/snapshots/{commit}"}))
    assert finding.fix.snippet.endswith(f"revision: {commit}")


def test_a_folder_of_another_kind_names_no_commit(findings_of):
    [finding] = findings_of("unpinned_revision", altered(SICK, {"repository.path": "/models/snapshots/main"}))
    assert finding.fix.snippet.endswith("THE_FULL_40_DIGIT_COMMIT_HASH")
