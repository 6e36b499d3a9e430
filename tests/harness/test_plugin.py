"""The pytest plugin in sessions of its own, with a stand-in for the engine that counts how often it looked."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from preflight_ocr.harness.facts import KeyFact, Unknown
from tests.specimens import HEALTHY, altered
from tests.support.places import ROOT

STAND_IN = """
import pathlib, sys, types
from preflight_ocr.harness.facts import Facts

here = pathlib.Path(__file__).parent

def look(config, asked, *, progress):
    from preflight_ocr.harness.check.children import choose_children
    from preflight_ocr.harness.check.seen import Seen

    children = () if asked.reads_only else choose_children(config, asked)
    ran = "-".join(child.name for child in children) or "nothing"
    with (here / "looked.txt").open("a", encoding="utf-8") as log:
        log.write(f"{asked.level} {asked.trust} {ran}\\n")
    progress("looking")
    return Seen(facts=Facts.from_json((here / "facts.json").read_bytes()), timings={})

module = types.ModuleType("preflight_ocr.harness.check.check")
module.look = look
sys.modules["preflight_ocr.harness.check.check"] = module
"""
SICK = altered(
    HEALTHY,
    {
        "configuration.unknown_keys": (KeyFact(path="lora.rank", nearest="lora.r", detail=""),),
        "dataset": Unknown(reason="no rows were given"),
    },
)


@pytest.fixture
def session(pytester, monkeypatch):
    """Run pytest with the plugin in a fresh process, in a folder with a configuration and a stand-in engine."""
    installed = any(e.name == "preflight" for e in importlib.metadata.entry_points(group="pytest11"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeconftest(STAND_IN)
    pytester.makefile(".yaml", preflight="model: {base_model: nowhere/model}")
    (pytester.path / "facts.json").write_bytes(SICK.to_json())

    def run(*words: str) -> pytest.RunResult:
        plugin = () if installed else ("-p", "preflight_ocr.harness.plugin")
        return pytester.runpytest_subprocess(*plugin, "--preflight-config", "preflight.yaml", *words, timeout=60)

    return run


def _looked(pytester) -> list[str]:
    return (pytester.path / "looked.txt").read_text(encoding="utf-8").splitlines()


def test_every_contract_is_an_item_with_the_finding_as_its_failure(session):
    result = session("-v")
    result.stdout.fnmatch_lines(
        [
            f"*collected {_items()} items",
            "*preflight.yaml::CFG001-unknown_key FAILED*",
            "*preflight.yaml::CFG003-warmup_beyond_run PASSED*",
            "*preflight.yaml::ENV002-legacy_encoding SKIPPED (no rows were given)*",
            "MAJOR CFG001 unknown_key (read)",
            "*Fix: *",
        ]
    )
    assert "Traceback" not in result.stdout.str()
    assert "plugin.py" not in result.stdout.str()
    assert result.ret == 1


def test_the_reason_of_a_skip_is_told(session):
    session("-rs").stdout.fnmatch_lines(["SKIPPED * no rows were given"])


def test_k_chooses_contracts(session):
    session("-k", "CFG003").assert_outcomes(passed=1, deselected=_items() - 1)


@pytest.mark.slow
def test_x_stops_at_the_first_broken_one(session):
    assert session("-x").parseoutcomes()["failed"] == 1


@pytest.mark.slow
def test_own_tests_run_beside_contracts(session, pytester):
    pytester.makepyfile("def test_mine(): pass")
    session("-k", "CFG003 or mine").assert_outcomes(passed=2, deselected=_items() - 1)


def test_junit_names_each_contract(session, pytester):
    session("--junitxml", "out.xml")
    names = {case.get("name") for case in ElementTree.parse(pytester.path / "out.xml").iter("testcase")}
    assert "CFG001-unknown_key" in names
    assert len(names) == _items()


@pytest.mark.slow
def test_xdist_workers_share_one_look(session, pytester):
    result = session("-n", "2")
    assert result.parseoutcomes()["failed"] == 1
    assert len(_looked(pytester)) == 1


@pytest.mark.slow
def test_level_and_trust_reach_the_engine(session, pytester):
    session("--preflight-level", "read", "-k", "CFG003")
    session("--preflight-trust", "-k", "CFG003")
    session("-m", "gpu")
    session("-m", "not gpu", "-k", "CFG003")
    assert _looked(pytester) == [
        "read False nothing",
        "ran True nothing",
        "gpu False learning-forward-collator-processor",
        "ran False nothing",
    ]


@pytest.mark.slow
def test_only_what_the_chosen_contracts_need_is_run(session, pytester):
    session("-k", "LBL001")
    session("-k", "LBL001 or LRN003")
    session("preflight.yaml::FWD006-failing_forward")
    session("-k", "CFG001")
    assert _looked(pytester) == [
        "ran False collator",
        "ran False learning-collator",
        "ran False forward",
        "ran False nothing",
    ]


def test_a_node_id_chooses_one_contract(session):
    session("preflight.yaml::CFG003-warmup_beyond_run").assert_outcomes(passed=1)


def test_collecting_alone_looks_at_nothing(session, pytester):
    session("--collect-only", "-q").stdout.fnmatch_lines(["*LBL001-copied_labels*"])
    assert not (pytester.path / "looked.txt").exists()


def test_a_command_needs_trust_and_stands_alone(session, pytester):
    for words in (("--preflight-command", "python train.py"),):
        result = session(*words)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert "give one of them" in result.stdout.str() + result.stderr.str()


def test_a_crash_of_ours_is_an_error(session, pytester):
    pytester.makeconftest(
        STAND_IN + "\nimport preflight_ocr.harness.diagnoses.unknown_key as d\n"
        "from preflight_ocr.harness.diagnoses import catalogue\n"
        "catalogue()  # which refuses what is no diagnosis; the bug comes afterwards\n"
        "def examine(facts): raise ValueError('a bug')\n"
        "d.examine = examine\n"
    )
    result = session("-k", "CFG001")
    result.assert_outcomes(errors=1, deselected=_items() - 1)
    result.stdout.fnmatch_lines(["*ValueError: a bug*"])


@pytest.mark.parametrize("extra", [(), ("-n", "1")])
def test_a_broken_configuration_is_a_usage_error(session, pytester, extra):
    pytester.makefile(".yaml", preflight="model: [")
    result = session(*extra)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "broken YAML" in result.stdout.str() + result.stderr.str()
    assert "INTERNALERROR" not in result.stdout.str()


def test_loading_the_plugin_imports_nothing_of_ours():
    program = (
        "import sys, preflight_ocr.harness.plugin\n"
        "ours = [m for m in sys.modules if m.startswith('harness.') and m != 'preflight_ocr.harness.plugin']\n"
        "heavy = {'torch', 'transformers', 'peft', 'PIL', 'numpy', 'msgspec', 'yaml', 'click'} & set(sys.modules)\n"
        "assert not ours and not heavy, (ours, heavy)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def _items() -> int:
    from preflight_ocr.harness.verdict.contracts import derive

    return len(derive(SICK))
