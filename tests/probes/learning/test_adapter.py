from __future__ import annotations

import msgspec
import pytest
from torch import nn

from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.families.anatomy import read_anatomy
from preflight_ocr.probes.learning.adapter import count_targets, find_fitting_task_types, inject, look_at_adapter
from tests.support.toys import Toy

KEYS = ("input_ids", "attention_mask", "labels", "images")
NAMES = ["words", "blocks.0.self_attn", "blocks.0.mlp", "blocks.1.self_attn", "blocks.1.mlp", "vision", "head"]


@pytest.mark.parametrize(
    ("task_type", "added"),
    [
        (None, ()),
        ("CAUSAL_LM", ()),
        ("FEATURE_EXTRACTION", ()),
        ("SEQ_2_SEQ_LM", ("decoder_attention_mask", "decoder_input_ids", "decoder_inputs_embeds")),
        ("QUESTION_ANS", ("end_positions", "start_positions")),
    ],
)
def test_the_keywords_of_a_task_wrapper_are_found_by_calling_it(task_type, added):
    assert inject(task_type, KEYS) == added


def test_the_task_types_that_fit_add_nothing_that_forward_lacks():
    assert {"CAUSAL_LM", "FEATURE_EXTRACTION"} <= set(find_fitting_task_types(KEYS, set(KEYS)))
    assert not {"SEQ_2_SEQ_LM", "QUESTION_ANS"} & set(find_fitting_task_types(KEYS, set(KEYS)))


def test_every_task_type_fits_a_forward_that_takes_anything():
    assert "SEQ_2_SEQ_LM" in set(find_fitting_task_types(KEYS, None))


def hits(asked):
    return {target.name: target.hits for target in count_targets(asked, NAMES, read_anatomy(Toy()))}


def test_targets_are_counted_by_part():
    assert hits(["self_attn", "mlp", "vision", "typo"]) == {
        "mlp": {"mlp": 2},
        "self_attn": {"attention": 2},
        "typo": {},
        "vision": {"vision": 1},
    }


def test_a_target_matches_a_whole_step_of_a_name_as_peft_matches_it():
    assert hits(["attn", "0.mlp", "blocks.1.mlp"]) == {"0.mlp": {"mlp": 1}, "attn": {}, "blocks.1.mlp": {"mlp": 1}}


def test_a_single_string_is_a_pattern_for_whole_names():
    assert hits(r".*\.mlp") == {r".*\.mlp": {"mlp": 2}}
    assert hits("mlp") == {"mlp": {}}


def test_a_pattern_that_is_none_is_not_counted():
    found = count_targets("(", NAMES, read_anatomy(Toy()))
    assert isinstance(found, Unknown) and "regular expression" in found.reason


def test_targets_that_peft_chooses_are_unknown():
    assert isinstance(count_targets(None, NAMES, read_anatomy(Toy())), Unknown)


def test_the_healthy_adapter_is_on_the_language_model_and_nothing_is_rejected(assemble):
    parts = assemble()
    facts, adapted = look_at_adapter(parts, KEYS)
    assert adapted is not None
    assert (facts.raised, facts.rejected, facts.inside_wrapper, facts.on_tied_weights) == (None, (), False, ())
    assert facts.trainable == sum(p.numel() for n, p in adapted.named_parameters() if "lora_" in n)
    assert {part for target in facts.targets for part in target.hits} == {"attention", "mlp", "experts"}
    assert "CAUSAL_LM" in facts.fitting_task_types


def with_lora(parts, **changed):
    parts.config = msgspec.structs.replace(parts.config, lora=msgspec.structs.replace(parts.config.lora, **changed))
    return parts


def test_a_task_type_whose_keywords_forward_lacks_is_told_with_those_that_fit(assemble):
    facts, _ = look_at_adapter(with_lora(assemble(), task_type="SEQ_2_SEQ_LM"), KEYS)
    assert "decoder_input_ids" in facts.rejected
    assert "CAUSAL_LM" in facts.fitting_task_types


def test_an_adapter_step_that_raises_still_says_what_its_targets_hit(assemble):
    facts, adapted = look_at_adapter(with_lora(assemble(), target_modules=["q_prj"]), KEYS)
    assert adapted is None
    assert facts.raised is not None and "q_prj" in facts.raised.message
    assert [(t.name, t.hits) for t in facts.targets] == [("q_prj", {})]


def test_an_adapter_around_a_wrapper_is_told(assemble):
    class Wrapper(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, **batch):
            return self.inner(**batch)

    parts = assemble()
    parts.built = msgspec.structs.replace(parts.built, model=Wrapper(parts.built.model))
    facts, _ = look_at_adapter(with_lora(parts, task_type=None), KEYS)
    assert facts.inside_wrapper
    assert ".inner." in facts.key_example


def test_an_adapter_on_a_weight_that_another_module_shares_is_told(assemble):
    parts = assemble()
    parts.bare.lm_head.weight = parts.bare.get_input_embeddings().weight
    facts, _ = look_at_adapter(with_lora(parts, target_modules=["q_proj", "lm_head"]), KEYS)
    assert facts.on_tied_weights == ("lm_head.base_layer",)
