"""Several faults in one run: each root cause is named, nothing else is, and no cause hides another."""

from __future__ import annotations

import importlib
import itertools
import json
from typing import Any

import pytest

from preflight_ocr.harness.diagnoses import catalogue
from preflight_ocr.harness.facts import Facts, Landing, Raised, RoundTrip, Wrapper
from preflight_ocr.harness.judging.findings import Broken, Finding
from preflight_ocr.harness.verdict.contracts import derive, judge_all, root_causes
from tests.specimens import HEALTHY, altered, write_row

FAMILIES = ("FWD", "COL", "LBL", "LRA", "LRN")
NAMES = tuple(m.DIAGNOSIS.name for m in catalogue() if m.DIAGNOSIS.family in FAMILIES)


def find_roots(facts: Facts) -> dict[str, Finding]:
    return {finding.name: finding for finding in root_causes(judge_all(derive(facts), facts))}


def load_sick(name: str) -> Any:
    return json.loads(importlib.import_module(f"tests.specimens.{name}").SICK.to_json())


def merge(healthy: Any, left: Any, right: Any) -> Any:
    """Both specimens' changes to the healthy facts. Raises ValueError where they change one value in two ways."""
    if left in (healthy, right):
        return right
    if right == healthy:
        return left
    if (
        isinstance(healthy, dict)
        and isinstance(left, dict)
        and isinstance(right, dict)
        and left.get("fact") == right.get("fact")
    ):
        keys = dict.fromkeys((*left, *right))
        return {key: merge(*(side.get(key, healthy.get(key)) for side in (healthy, left, right))) for key in keys}
    if isinstance(left, list) and isinstance(right, list) and healthy == []:
        return left + right
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right) == len(healthy):
        return [merge(*items) for items in zip(healthy, left, right, strict=True)]
    raise ValueError("both specimens change one value")


def together(*names: str) -> Facts:
    healthy = json.loads(HEALTHY.to_json())
    merged = healthy
    for name in names:
        merged = merge(healthy, merged, load_sick(name))
    return Facts.from_json(json.dumps(merged))


FIVE = altered(
    HEALTHY,
    {
        # ones(B, 1) as placement mask, no <image> in the prompt, labels = input_ids.clone()
        f"collator.batch.rows.{number}": altered_row
        for number, altered_row in enumerate(
            (
                write_row("bppppttttttttte", target="Жили-были дед и баба"),
                write_row("......bppppttte", target="seven"),
            )
        )
    }
    | {f"collator.batch.rows.{row}.trained": "1" * 15 for row in (0, 1)}
    | {f"collator.batch.rows.{row}.marked": "1" for row in (0, 1)}
    # ImageNet's constants
    | {f"collator.views.{row}.mean": (0.485, 0.456, 0.406) for row in (0, 1)}
    | {f"collator.views.{row}.std": (0.229, 0.224, 0.225) for row in (0, 1)}
    | {
        "collator.batch.leaves.0.shape": (2, 15),
        "collator.batch.leaves.7.shape": (2, 1),
        # a wrapper that holds the model twice, with PEFT around it
        "forward.wrapper": Wrapper(
            class_name="Wrapper",
            inner_class="DeepseekOCRForCausalLM",
            inner_name="model",
            shared_names=(("base_model", "model"),),
            dropped=(),
            same_outputs=True,
        ),
        "adapter.inside_wrapper": True,
        "learning.round_trip": RoundTrip(
            same_logits=False, differs_from_base=False, missing_keys=("lora_B",), unexpected_keys=(), lost_keys=()
        ),
        # and what comes of it
        "forward.landing": tuple(Landing(row=row, placeholders=0, features=7, landed="1" * 15) for row in (0, 1)),
        "forward.behaviour.text_reaches": (False, False),
        "forward.behaviour.image_reaches": (True, False),
        "forward.weights": "real",
        "forward.loss": 15.7,
        "forward.loss_by_token": 15.6,
    },
)


def test_the_five_faults_of_the_run_that_reported_success_are_five_root_causes():
    assert set(find_roots(FIVE)) == {
        "broadcast_mask",
        "missing_placeholders",
        "foreign_normalisation",
        "copied_labels",
        "doubled_module",
    }


def test_what_the_five_faults_lead_to_is_named_under_them():
    roots = find_roots(FIVE)
    assert {"FWD007", "LRN004"} <= set(roots["broadcast_mask"].consequences)
    assert {"LBL002", "LBL004"} <= set(roots["copied_labels"].consequences)
    assert roots["doubled_module"].consequences == ("LRA006", "SAV001")


@pytest.mark.parametrize(
    "names",
    [
        ("shifted_mask", "foreign_normalisation", "unmasked_prompt", "mismatched_task_type"),
        ("unaccepted_batch_key", "unmasked_image_tokens", "adapted_tied_weights", "foreign_normalisation"),
        ("malformed_images", "unmasked_padding", "untrainable_vision_adapters", "unpicklable_collator"),
        ("missing_required_input", "nothing_supervised", "misscaled_loss"),
        ("swapped_images", "wrong_target", "wrapped_before_adapter", "early_checkpointing"),
        ("truncated_image_tokens", "foreign_normalisation", "squashed_page", "mismatched_task_type"),
        ("swallowed_inputs", "copied_labels", "foreign_normalisation", "unmatched_targets"),
        ("unplanned_view", "hidden_tokens", "mismatched_prompt", "frozen_adapter", "doubled_module"),
        ("failing_forward", "unmasked_prompt", "failing_adapter"),
    ],
    ids=" + ".join,
)
def test_independent_faults_are_all_named(names):
    assert set(find_roots(together(*names))) == set(names)


@pytest.mark.parametrize("name", NAMES)
def test_a_second_fault_never_brings_a_third_name(name):
    for other in NAMES:
        try:
            facts = together(name, other)
        except ValueError:
            continue
        roots = set(find_roots(facts))
        assert roots and roots <= {name, other}, other


@pytest.mark.slow
def test_most_pairs_of_faults_are_both_named():
    both = alone = 0
    # These laws speak only where nothing else names a reason.
    laws = {"training_differs_from_generation", "unwritten_target", "unheeded_end"}
    named = [name for name in NAMES if name not in laws]
    for names in itertools.combinations(named, 2):
        try:
            facts = together(*names)
        except ValueError:
            continue
        if set(find_roots(facts)) == set(names):
            both += 1
        else:
            alone += 1
    assert both > 12 * alone


def test_no_two_diagnoses_explain_each_other_away():
    explains = {m.DIAGNOSIS.name: m.DIAGNOSIS.explains for m in catalogue()}

    def reach(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path, name))
        for consequence in explains[name]:
            reach(consequence, (*path, name))

    for name in explains:
        reach(name, ())


def test_an_independent_failure_of_the_model_stays_beside_a_wrong_batch():
    """forward fails on our batch too, so mending the collator would not have helped."""
    raised = Raised(
        type="TypeError", message="forward() missing 1 required positional argument: 'position_embeddings'", site=None
    )
    facts = altered(together("malformed_images"), {"forward.reference": raised})
    assert set(find_roots(facts)) == {"malformed_images", "failing_forward"}


def test_a_step_that_fails_otherwise_than_forward_stays_beside_a_wrong_batch():
    assert set(find_roots(together("malformed_images", "failing_step"))) == {"malformed_images", "failing_step"}


def test_a_row_that_is_unseen_for_another_reason_stays_beside_misplaced_ones():
    """Row 1 has a shifted mask; the page of row 0 is not seen although its mask is right."""
    facts = altered(together("shifted_mask"), {"forward.behaviour.image_reaches": (False, False)})
    roots = find_roots(facts)
    assert set(roots) == {"shifted_mask", "unseen_image"}
    assert roots["unseen_image"].evidence == ("row 0: the image does not reach the logits",)


def test_a_consequence_is_still_broken_and_says_what_explains_it():
    outcomes = {j.contract.diagnosis.name: j.outcome for j in judge_all(derive(FIVE), FIVE)}
    assert isinstance(outcomes["lost_adapter"], Broken)
    assert "FWD004" in outcomes["lost_adapter"].explained_by
