from fixtures.specimens.image_dtype_mismatch import HEALTHY, SICK


def test_float32_images_for_float16_weights_are_reported_with_both_dtypes(findings_of):
    [finding] = findings_of("image_dtype_mismatch", SICK)
    assert finding.evidence == (
        "images[0][1]: float32 tensor [1, 3, 128, 128], expected float16 tensor [1, 3, 128, 128]",
    )


def test_a_model_that_converts_inside_is_silent(findings_of):
    assert findings_of("image_dtype_mismatch", HEALTHY) == ()
