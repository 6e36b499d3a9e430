from preflight_ocr.harness.facts import Raised, Repair
from tests.specimens import altered
from tests.specimens.image_dtype_mismatch import HEALTHY, SICK


def test_float32_images_for_float16_weights_are_reported_with_both_dtypes(findings_of):
    [finding] = findings_of("image_dtype_mismatch", SICK)
    assert finding.evidence == (
        "images[0][1]: float32 tensor [1, 3, 128, 128], expected float16 tensor [1, 3, 128, 128]",
    )


def test_a_model_that_converts_inside_is_silent(findings_of):
    assert findings_of("image_dtype_mismatch", HEALTHY) == ()


def test_pixels_that_forward_took_once_the_tokens_were_replaced_are_silent(findings_of):
    refused = Raised(
        type="AssertionError", message="vision_embeddings.size(0)=15, new_img_mask.sum()=tensor(1)", site=None
    )
    stopped = {"forward.given": refused, "forward.repairs": (Repair(argument="input_ids", raised=refused),)}
    assert findings_of("image_dtype_mismatch", altered(HEALTHY, stopped)) == ()
