from preflight_ocr.harness.facts import Parameter, Wrapper
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.unaccepted_batch_key import SICK


def test_a_key_forward_does_not_take_is_reported_with_the_names_it_does_take(findings_of):
    [finding] = findings_of("unaccepted_batch_key", SICK)
    assert "`pixel_values`" in finding.summary
    assert "images, images_seq_mask, images_spatial_crop" in finding.summary
    assert finding.evidence[0] == "batch: input_ids, attention_mask, labels, pixel_values"


def test_a_forward_with_var_keyword_takes_any_key(findings_of):
    open_ended = (
        *RUN.forward.signature.parameters,
        Parameter(name="loss_kwargs", kind="var_keyword", has_default=True),
    )
    assert findings_of("unaccepted_batch_key", altered(SICK, {"forward.signature.parameters": open_ended})) == ()


def test_a_wrapper_that_translates_the_names_is_silent(findings_of):
    wrapper = Wrapper(
        class_name="Renamed",
        inner_class="DeepseekOCRForCausalLM",
        inner_name="model",
        dropped=(),
        same_outputs=True,
        shared_names=(),
    )
    translated = altered(SICK, {"forward.given": "ok", "forward.wrapper": wrapper})
    assert findings_of("unaccepted_batch_key", translated) == ()
    assert findings_of("missing_required_input", translated) == ()
