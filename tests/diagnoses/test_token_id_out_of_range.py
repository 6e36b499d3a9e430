from preflight_ocr.harness.facts import NOT_RUN
from preflight_ocr.harness.judging.findings import Basis
from tests.specimens import altered
from tests.specimens.token_id_out_of_range import SICK


def test_an_id_past_the_last_row_is_reported_with_its_token(findings_of):
    [finding] = findings_of("token_id_out_of_range", SICK)
    assert finding.basis is Basis.RAN
    assert "ids 0 to 511 only" in finding.summary
    assert "'<image>' has id 512" in finding.evidence


def test_without_a_run_the_files_alone_tell(findings_of):
    [finding] = findings_of("token_id_out_of_range", altered(SICK, {"forward": NOT_RUN}))
    assert finding.basis is Basis.READ


def test_embeddings_that_were_enlarged_after_loading_are_silent(findings_of):
    assert findings_of("token_id_out_of_range", altered(SICK, {"forward.embedding_rows": 513})) == ()


def test_without_a_run_a_loader_of_the_users_own_gets_the_benefit_of_the_doubt(findings_of):
    facts = altered(SICK, {"forward": NOT_RUN, "configuration.replaced_parts": ("model",)})
    assert findings_of("token_id_out_of_range", facts) == ()
