from tests.specimens.missing_symbol import HEALTHY, SICK


def test_a_name_gone_from_the_library_is_reported_with_the_installed_version(findings_of):
    [finding] = findings_of("missing_symbol", SICK)
    assert "transformers 5.23.0" in finding.summary
    assert "modeling_deepseekv2.py:42" in finding.evidence[0]
    assert "from transformers.models.llama.modeling_llama import LlamaFlashAttention2" in finding.evidence[0]


def test_a_name_imported_under_a_condition_is_silent(findings_of):
    assert findings_of("missing_symbol", HEALTHY) == ()
