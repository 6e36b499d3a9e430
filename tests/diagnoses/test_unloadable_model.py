from preflight_ocr.harness.facts import Raised
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.unloadable_model import SICK


def test_a_loader_that_raises_is_quoted_with_its_line(findings_of):
    [finding] = findings_of("unloadable_model", SICK)
    assert "does not have a file named model.safetensors" in finding.summary
    assert finding.evidence == ("train.py:12: model = AutoModel.from_pretrained(path)",)


def test_a_model_that_loads_is_silent(findings_of):
    assert findings_of("unloadable_model", RUN) == ()


def test_memory_that_this_machine_lacks_is_no_fault_of_the_loader(outcome_of):
    raised = Raised(
        type="RuntimeError", message="DefaultCPUAllocator: can't allocate memory: you tried 661913600 bytes", site=None
    )
    poor = altered(SICK, {"forward.loading": raised})
    assert "more memory than a child may use on this machine" in outcome_of("unloadable_model", poor).reason
