import pytest

from preflight_ocr.harness.facts import Opened, Raised, Site
from preflight_ocr.harness.judging.findings import Severity
from preflight_ocr.harness.verdict.contracts import derive, judge_all, root_causes
from tests.specimens import altered
from tests.specimens.missing_video_processor import BACKEND, HEALTHY, REFUSED, SICK

UNRECOGNISED = Raised(
    type="ValueError", message="Unrecognized video processor in models/page. Should have a key", site=None
)
MISSPELT = Raised(type="ValueError", message="Unrecognized image processor in models/page.", site=None)


@pytest.mark.parametrize("raised", [REFUSED, BACKEND, UNRECOGNISED], ids=["none given", "torchvision", "unrecognised"])
def test_each_wording_of_the_refusal_is_one_defect(findings_of, raised):
    [finding] = findings_of(
        "missing_video_processor",
        altered(SICK, {"processor.registered": Opened(returned="raised", raised=raised, class_name="", site=None)}),
    )
    assert "transformers 4.55.4" in finding.summary
    assert raised.message.strip().removesuffix(".") in finding.evidence[0]
    assert "`video_processor`" in finding.evidence[1]


def test_a_refusal_in_the_first_call_counts_as_well(findings_of):
    facts = altered(HEALTHY, {"processor.returned": "raised", "processor.raised": REFUSED})
    assert len(findings_of("missing_video_processor", facts)) == 1


def test_torchvision_alone_is_nobodys_slot(findings_of):
    facts = altered(
        SICK,
        {
            "processor.unfilled": (),
            "processor.registered": Opened(returned="raised", raised=BACKEND, class_name="", site=None),
        },
    )
    assert findings_of("missing_video_processor", facts) == ()


def test_another_part_that_is_not_recognised_is_silent(findings_of):
    facts = altered(
        SICK, {"processor.registered": Opened(returned="raised", raised=MISSPELT, class_name="", site=None)}
    )
    assert findings_of("missing_video_processor", facts) == ()


def test_a_processor_that_opens_is_silent_whatever_its_slots(findings_of):
    assert findings_of("missing_video_processor", altered(HEALTHY, {"processor.unfilled": ("video_processor",)})) == ()


def test_it_is_minor_while_no_part_of_the_users_opens_the_processor(findings_of):
    [finding] = findings_of("missing_video_processor", SICK)
    assert finding.severity is Severity.MINOR


def test_a_collator_that_ends_in_it_is_a_blocker_and_its_exception_a_consequence():
    facts = altered(SICK, {"collator.batch": REFUSED})
    [root] = root_causes(judge_all(derive(facts), facts))
    assert (root.name, root.severity) == ("missing_video_processor", Severity.BLOCKER)
    assert root.consequences


def test_a_loader_that_ends_in_it_is_a_blocker(findings_of):
    call = Opened(
        returned="raised",
        raised=REFUSED,
        site=Site(file="load.py", line=3, code="AutoProcessor", kind="", runs=None),
        class_name="",
    )
    [finding] = findings_of("missing_video_processor", altered(SICK, {"forward.processor_calls": (call,)}))
    assert finding.severity is Severity.BLOCKER
