from preflight_ocr.harness.facts import Landing, Raised, Repair, Unknown
from preflight_ocr.harness.judging.findings import Broken, Skipped
from preflight_ocr.harness.verdict.contracts import derive, judge_all
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.placeholder_mismatch import HEALTHY, SICK


def test_a_row_with_fewer_placeholders_than_features_is_reported_with_both_numbers(findings_of):
    [finding] = findings_of("placeholder_mismatch", SICK)
    assert finding.evidence == ("row 0: 7 placeholders for 9 features",)


def test_a_smaller_page_with_fewer_features_is_silent(findings_of):
    assert findings_of("placeholder_mismatch", HEALTHY) == ()


def test_a_model_that_was_not_run_is_skipped_not_passed(outcome_of):
    blind = altered(SICK, {"forward.landing": Unknown(reason="could not be looked at")})
    assert outcome_of("placeholder_mismatch", blind) == Skipped("could not be looked at")


def test_surplus_placeholders_are_found_by_where_features_landed(findings_of):
    uncounted = Landing(
        row=0, placeholders=7, features=Unknown(reason="2 scatters for 3 rows"), landed="01111100" + "0" * 12
    )
    model_without_mask = {"collator.batch.rows.0.marked": "", "forward.landing.0": uncounted}
    [finding] = findings_of("placeholder_mismatch", altered(RUN, model_without_mask))
    assert finding.evidence == ("row 0: features landed on 5 of 7 placeholders",)


def test_a_row_without_any_placeholder_belongs_to_another_diagnosis(findings_of):
    bare = altered(RUN, {"collator.batch.rows.0.roles": "b" + "p" * 11 + "ttttttte"})
    [finding] = findings_of("placeholder_mismatch", bare)
    assert "missing_placeholders" in finding.owners


def test_a_forward_that_refuses_the_tokens_of_our_own_pictures_is_told_by_our_numbers(findings_of):
    refused = Raised(
        type="AssertionError", message="vision_embeddings.size(0)=7, new_img_mask.sum()=tensor(3)", site=None
    )
    changes = {
        "forward.given": refused,
        "forward.landing": Unknown(reason="forward raised"),
        "collator.batch.rows.0.roles": "b" + "i" * 3 + "p" * 8 + "tttttttte"[:8],
    }
    [finding] = findings_of("placeholder_mismatch", altered(RUN, changes))
    assert finding.evidence == ("row 0: 3 placeholders for 7 features",)


REFUSED = Raised(
    type="RuntimeError", message="Input type (float) and bias type (c10::BFloat16) should be the same", site=None
)


def test_features_of_our_own_picture_say_nothing_about_a_row_that_was_made_for_another(findings_of):
    """Forward refused the pixels; with ours in their place, our number of features lands among the row's placeholders."""
    made_for_another = {
        "collator.batch.leaves": (),
        "collator.batch.rows.0.roles": "b" + "i" * 9 + "p" * 2 + "t" * 7 + "e",
    }
    assert findings_of("placeholder_mismatch", altered(RUN, made_for_another)) != ()
    replaced = {**made_for_another, "forward.repairs": (Repair(argument="images", raised=REFUSED),)}
    assert findings_of("placeholder_mismatch", altered(RUN, replaced)) == ()


def test_a_landing_of_our_own_tokens_is_skipped_not_passed(outcome_of):
    changes = {
        "forward.given": REFUSED,
        "collator.batch.leaves": (),
        "forward.repairs": (Repair(argument="input_ids", raised=REFUSED),),
    }
    assert (
        "our substitute pixels need another number" in outcome_of("placeholder_mismatch", altered(RUN, changes)).reason
    )


def test_features_of_a_view_too_many_are_broken_and_explained_by_it():
    facts = altered(SICK, {"collator.planned_tiles": (0, 0), "collator.seen_tiles": (6, 0)})
    judged = judge_all(derive(facts), facts)
    [mine] = [j.outcome for j in judged if j.contract.diagnosis.name == "placeholder_mismatch"]
    assert isinstance(mine, Broken) and "COL008" in mine.explained_by


def test_features_that_a_wrong_mask_placed_are_owned_by_the_mask(findings_of):
    uncounted = Landing(
        row=0, placeholders=7, features=Unknown(reason="2 scatters for 3 rows"), landed="01111100" + "0" * 12
    )
    changes = {"collator.batch.rows.0.marked": "01111100" + "0" * 12, "forward.landing.0": uncounted}
    [finding] = findings_of("placeholder_mismatch", altered(RUN, changes))
    assert "shifted_mask" in finding.owners
