from tests.specimens.removed_api import SICK


def test_a_removed_method_is_reported_with_its_line_and_its_replacement(findings_of):
    [finding] = findings_of("removed_api", SICK)
    assert "collate.py:8" in finding.evidence[0]
    assert finding.fix.snippet == "batch_encode_plus -> calling the tokenizer"
