from tests.specimens.split_image_token import HEALTHY, SICK


def test_an_image_token_without_an_id_is_reported(findings_of):
    [finding] = findings_of("split_image_token", SICK)
    assert "'<image>'" in finding.summary


def test_a_model_without_a_declared_image_token_is_silent(findings_of):
    assert findings_of("split_image_token", HEALTHY) == ()
