import pytest

from tests.specimens import altered
from tests.specimens.stale_checkpoint import HEALTHY, SICK


def test_another_rank_is_reported_with_both_numbers(findings_of):
    [finding] = findings_of("stale_checkpoint", SICK)
    assert finding.evidence == ("outputs/checkpoint-100: r=16, here r=8",)


def test_another_base_model_is_reported(findings_of):
    facts = altered(HEALTHY, {"configuration.checkpoints.0.base_model": "rednote-hilab/dots.ocr"})
    [finding] = findings_of("stale_checkpoint", facts)
    assert "rednote-hilab/dots.ocr" in finding.evidence[0]


@pytest.mark.parametrize(
    "path", ["deepseek_ocr", "C:\\models\\deepseek_ocr", "/cache/models--someone--DeepSeek_OCR/snapshots/0123abcd"]
)
def test_the_same_model_under_another_path_is_silent(findings_of, path):
    assert findings_of("stale_checkpoint", altered(HEALTHY, {"configuration.checkpoints.0.base_model": path})) == ()


def test_an_adapter_step_of_the_users_own_is_not_held_against_the_yaml(findings_of):
    assert findings_of("stale_checkpoint", altered(SICK, {"configuration.replaced_parts": ("peft",)})) == ()
