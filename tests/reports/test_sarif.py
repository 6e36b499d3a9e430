"""What SARIF 2.1.0 asks for beyond types, in our own words; the types are held by `reports/sarif_format`."""

from __future__ import annotations

import datetime
import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from preflight_ocr.harness.diagnoses import catalogue
from preflight_ocr.harness.facts import Site, Subject, Unknown
from preflight_ocr.harness.judging.findings import Broken, Severity, Skipped
from preflight_ocr.harness.verdict.contracts import derive, judge_all
from preflight_ocr.harness.verdict.gate import Waiver
from preflight_ocr.harness.verdict.report import Report
from preflight_ocr.reports import sarif
from preflight_ocr.reports.sarif_format import Log
from tests.specimens import HEALTHY, altered


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with a YAML file in a folder, the user's parts beside it, and a model's code below it."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "setup" / "model").mkdir(parents=True)
    (tmp_path / "setup" / "run.yaml").write_text("model:\n  base_model: model\n", encoding="utf-8")
    (tmp_path / "setup" / "parts").mkdir()
    (tmp_path / "setup" / "parts" / "collate me.py").write_text("pass\n", encoding="utf-8")
    (tmp_path / "setup" / "model" / "modeling_x.py").write_text("pass\n", encoding="utf-8")
    return tmp_path


LINES = {"model": 1, "model.base_model": 2, "lora": 4, "lora.task_type": 5, "subject": 8, "subject.collator": 9}


@pytest.fixture
def tell(project, judge):
    """`tell(finding, ...)` -> the run object of a report with these findings, one contract each."""

    def make(*findings: Any, lines: dict[str, int] = LINES, facts: Any = HEALTHY, **changes: Any) -> dict[str, Any]:
        judgements = tuple(judge(f.code, f.name, Broken((f,)), f.severity) for f in findings)
        report = Report.build(
            facts,
            judgements,
            config=project / "setup" / "run.yaml",
            level="ran",
            lines=lines,
            folders=(project / "setup", project / "setup" / "model"),
            **changes,
        )
        return open_log(report)

    return make


def open_log(report: Report) -> dict[str, Any]:
    """The only run of the log, having passed through the types and back."""
    text = sarif.render(report)
    msgspec.json.decode(text, type=Log)
    return json.loads(text)["runs"][0]


def _walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    yield path, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _walk(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner, f"{path}[]")


def _find_site(finding: Any, *places: Site, keys: tuple[str, ...] = ()) -> Any:
    return msgspec.structs.replace(finding, places=places, keys=keys)


def _spot(run: dict[str, Any], index: int = 0) -> tuple[str, str, int]:
    (location,) = run["results"][index]["locations"]
    place = location["physicalLocation"]
    return place["artifactLocation"]["uriBaseId"], place["artifactLocation"]["uri"], place["region"]["startLine"]


def test_indices_references_and_bases_all_hold_together(report):
    run = open_log(report)
    rules, notices = run["tool"]["driver"]["rules"], run["tool"]["driver"]["notifications"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in run["results"])
    told = run["invocations"][0]["toolExecutionNotifications"]
    assert all(notices[n["descriptor"]["index"]]["id"] == n["descriptor"]["id"] for n in told)
    assert all(rules[n["associatedRule"]["index"]]["id"] == n["associatedRule"]["id"] for n in told)
    bases = {value for path, value in _walk(run) if path.endswith(".uriBaseId")}
    assert bases <= set(run["originalUriBaseIds"])


def test_every_specimen_makes_a_log_that_holds(project):
    """Every finding of every diagnosis that has a specimen: a line from 1, a relative URI, a text, a print of its own."""
    for name in (module.DIAGNOSIS.name for module in catalogue()):
        facts = importlib.import_module(f"tests.specimens.{name}").SICK
        report = Report.build(
            facts, judge_all(derive(facts), facts), config=project / "setup" / "run.yaml", level="ran", lines=LINES
        )
        run = open_log(report)
        assert len(run["results"]) == len(report.findings), name
        for path, value in _walk(run["results"]):
            if path.endswith(".startLine"):
                assert value >= 1, name
            if path.endswith(".uri"):
                assert re.fullmatch(r"(?!/)(?!\.\./)[\w./%~+-]+", value), (name, value)
            if path.endswith(".message.text"):
                assert value.strip(), name
        prints = [result["partialFingerprints"][sarif.FINGERPRINT] for result in run["results"]]
        assert len(set(prints)) == len(prints), name


def test_each_rule_says_what_its_docstring_says(report):
    rules = {rule["id"]: rule for rule in open_log(report)["tool"]["driver"]["rules"]}
    for module in catalogue():
        if module.DIAGNOSIS.code in {j.contract.diagnosis.code for j in report.judgements}:
            continue  # the hand-made ones of conftest.py stand in for these
        rule = rules[module.DIAGNOSIS.code]
        assert rule["shortDescription"]["text"] in " ".join((module.__doc__ or "").split()).replace("{", "{{")
        assert "## Why it matters" in rule["help"]["markdown"]
        assert rule["fullDescription"]["text"] and "##" not in rule["fullDescription"]["text"]
        assert rule["defaultConfiguration"]["level"] == sarif.LEVELS[module.DIAGNOSIS.severity]
        assert re.fullmatch(r"([A-Z][a-z0-9]*)+", rule["name"])


def test_a_finding_with_a_line_of_source_is_shown_there(tell, find_fault):
    site = Site(file="parts/collate me.py", line=7, code="mask = [1]", kind="", runs=None)
    run = tell(_find_site(find_fault("COL001", "broadcast_mask"), site))
    assert _spot(run) == ("%SRCROOT%", "setup/parts/collate%20me.py", 7)
    region = run["results"][0]["locations"][0]["physicalLocation"]["region"]
    assert region["snippet"]["text"] == "mask = [1]"


def test_a_traceback_names_only_the_file_and_it_is_found_beside_the_users_part(tell, find_fault, project):
    (project / "setup" / "parts" / "collate.py").write_text("pass\n", encoding="utf-8")
    facts = altered(
        HEALTHY,
        {
            "subject": Subject(
                parts={"collator": "parts.collate:build"},
                auto_classes=(),
                absent_names=(),
                image_calls_on_processor=(),
                files_without_utf8=(),
                swallowed_exceptions=(),
                generate_calls=(),
                left_padding=(),
                training_moves=(),
                batch_entries={},
            )
        },
    )
    site = Site(file="collate.py", line=3, code="raise", kind="", runs=None)
    run = tell(_find_site(find_fault("COL017", "failing_collator"), site), facts=facts)
    assert _spot(run) == ("%SRCROOT%", "setup/parts/collate.py", 3)


def test_code_outside_the_project_is_named_beside_the_line_of_the_yaml_file(tell, find_fault):
    site = Site(file="modeling_elsewhere.py", line=12, code="x.cuda()", kind="", runs=None)
    run = tell(_find_site(find_fault("DEV001", "hard_coded_device"), site, keys=("model.device_map",)))
    assert _spot(run) == ("%SRCROOT%", "setup/run.yaml", 1)  # `model:`, since `device_map` is not there
    (other,) = run["results"][0]["relatedLocations"]
    assert other["physicalLocation"]["artifactLocation"] == {"uri": "modeling_elsewhere.py", "uriBaseId": "MODEL"}
    assert other["message"]["text"] == "x.cuda()"


def test_the_models_code_inside_the_project_is_shown_where_it_is(tell, find_fault):
    run = tell(
        _find_site(
            find_fault("VER001", "missing_symbol"),
            Site(file="modeling_x.py", line=1, code="import a", kind="", runs=None),
        )
    )
    assert _spot(run) == ("%SRCROOT%", "setup/model/modeling_x.py", 1)


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("lora.task_type",), 5),
        (("training.fp16", "lora.task_type"), 5),
        (("lora.target_modules",), 4),
        (("training.fp16",), 2),
        ((), 2),
    ],
    ids=["the key", "the next key that is there", "its section", "the model it is about", "nothing to go by"],
)
def test_a_finding_without_source_is_shown_at_its_key(tell, find_fault, keys, line):
    run = tell(_find_site(find_fault("LRA001", "mismatched_task_type"), keys=keys))
    assert _spot(run) == ("%SRCROOT%", "setup/run.yaml", line)


def test_a_key_is_found_in_either_section_that_trains(tell, find_fault):
    fault = _find_site(find_fault("LRN003", "flat_loss"), keys=("training.learning_rate",))
    assert _spot(tell(fault, lines={"optimization.learning_rate": 6, "training": 3}))[2] == 6


def test_a_file_without_known_lines_is_still_shown(tell, find_fault):
    assert _spot(tell(find_fault("COL001", "broadcast_mask"), lines={}))[2] == 1


@pytest.mark.parametrize("module", catalogue(), ids=lambda module: module.DIAGNOSIS.code)
def test_every_key_a_diagnosis_names_is_one_that_the_yaml_file_can_have(module):
    from preflight_ocr.harness.config import compat, keys

    known = {*keys.EFFECTS, *keys.SECTIONS, *(f"training.{n}" for n in compat.training_argument_names())}
    assert set(module.DIAGNOSIS.keys) <= known


def test_a_fingerprint_outlives_moved_lines_and_measured_numbers(tell, find_fault):
    first = _find_site(
        find_fault("COL001", "broadcast_mask", summary="seen 1"),
        Site(file="modeling_x.py", line=3, code="a = 1", kind="", runs=None),
    )
    second = msgspec.structs.replace(
        first, summary="seen 2", places=(Site(file="modeling_x.py", line=9, code="a  = 1", kind="", runs=None),)
    )
    other = msgspec.structs.replace(
        first, places=(Site(file="modeling_x.py", line=3, code="b = 1", kind="", runs=None),)
    )
    prints = [tell(f)["results"][0]["partialFingerprints"][sarif.FINGERPRINT] for f in (first, second, other)]
    assert prints[0] == prints[1]
    assert prints[0] != prints[2]


def test_two_causes_at_one_line_have_two_fingerprints(tell, find_fault):
    fault = find_fault("COL001", "broadcast_mask")
    run = tell(fault, fault)
    assert len({result["partialFingerprints"][sarif.FINGERPRINT] for result in run["results"]}) == len(run["results"])


def test_levels_follow_severities(tell, find_fault):
    faults = [find_fault(f"COL00{n}", f"fault_{n}", severity) for n, severity in enumerate(Severity)]
    assert [result["level"] for result in tell(*faults)["results"]] == ["error", "warning", "note", "note"]


def test_what_was_not_looked_at_is_a_notification_and_no_result(report):
    run = open_log(report)
    (invocation,) = run["invocations"]
    told = [(n["descriptor"]["id"], n["associatedRule"]["id"]) for n in invocation["toolExecutionNotifications"]]
    assert told == [("judging-failed", "MEM001"), ("not-looked-at", "DEV001"), ("not-looked-at", "ENV001")]
    assert {result["ruleId"] for result in run["results"]} == {"COL001", "LBL002"}  # COL004 is only a consequence
    assert invocation["executionSuccessful"] is False
    assert invocation["exitCode"] == 12


def test_a_blind_run_says_so(make_report, judge):
    facts = altered(HEALTHY, {"repository": Unknown(reason="no such folder")})
    run = open_log(make_report((judge("COL001", "a", Skipped("no such folder")),), facts=facts))
    (first, *_) = run["invocations"][0]["toolExecutionNotifications"]
    assert first["descriptor"]["id"] == "blind"
    assert run["invocations"][0]["executionSuccessful"] is False
    assert run["results"] == []


def test_a_waived_finding_is_a_suppressed_result(tell, find_fault):
    waiver = Waiver(code="COL001", reason="known", link="https://example.org", until=datetime.date(2031, 1, 1))
    run = tell(find_fault("COL001", "broadcast_mask"), waivers=(waiver,), today=datetime.date(2030, 1, 1))
    (suppression,) = run["results"][0]["suppressions"]
    assert (suppression["kind"], suppression["status"]) == ("external", "accepted")
    assert "known" in suppression["justification"]


def test_a_lapsed_waiver_is_told_as_a_matter_of_configuration(tell, find_fault):
    waiver = Waiver(code="COL001", reason="known", link="https://example.org", until=datetime.date(2029, 1, 1))
    run = tell(find_fault("COL001", "broadcast_mask"), waivers=(waiver,), today=datetime.date(2030, 1, 1))
    assert "suppressions" not in run["results"][0]
    assert run["invocations"][0]["toolConfigurationNotifications"][0]["descriptor"]["id"] == "waiver"


def test_texts_from_outside_are_no_links_and_no_placeholders(tell, find_fault):
    hostile = "see [here](javascript:alert(1)) {0} images[0][1] (tile)"
    text = tell(find_fault("COL001", "broadcast_mask", summary=hostile))["results"][0]["message"]["text"]
    assert text.startswith(r"see \[here](javascript:alert(1)) {{0}} images[0][1] (tile)")


def test_no_path_of_this_machine_is_written(tell, find_fault, project):
    site = Site(file=str(project / "setup" / "model" / "modeling_x.py"), line=1, code="x", kind="", runs=None)
    run = tell(_find_site(find_fault("COL001", "broadcast_mask"), site))
    assert str(project) not in json.dumps(run["results"])
    assert _spot(run)[1] == "setup/model/modeling_x.py"


def test_two_configurations_of_one_repository_are_kept_apart(tell, find_fault):
    assert tell(find_fault("COL001", "broadcast_mask"))["automationDetails"]["id"] == "preflight/setup/run.yaml/"
