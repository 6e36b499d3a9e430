import pytest

from preflight_ocr.harness.facts import Forward, Learning, Unknown, blank


def test_a_blank_fact_gives_the_reason_for_every_field_that_may_be_unknown_and_is_not_known():
    reason = Unknown(reason="the model could not be loaded")
    forward = blank(
        Forward,
        reason,
        signature=reason,
        model_class="M",
        weights="random",
        loading=None,
        repairs=(),
        dtypes={},
        redirected=(),
        padding_side=None,
        processor_calls=(),
        idle_keys=("extra",),
    )
    assert forward.idle_keys == ("extra",) and forward.model_class == "M" and forward.loading is None
    unknown = {name for name in forward.__struct_fields__ if getattr(forward, name) == reason}
    assert {"given", "landing", "loss_reads", "generation", "placement"} <= unknown


def test_a_blank_fact_refuses_a_field_that_the_struct_does_not_have():
    with pytest.raises(TypeError, match="los"):
        blank(Learning, Unknown(reason="no step"), los=1.0)
