"""The commands, with a stand-in for the engine: what is tested here is options, words and exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import types
from pathlib import Path
from xml.etree import ElementTree

import pytest

from preflight_ocr.harness import cli
from preflight_ocr.harness.cli import watching
from preflight_ocr.harness.facts import Unknown, history
from preflight_ocr.harness.families import FAMILIES
from preflight_ocr.harness.judging.findings import EXIT_CODES
from tests.specimens import HEALTHY, altered
from tests.support.engine import MISALIGNED, UNKNOWN_KEY
from tests.support.places import ROOT


@pytest.fixture
def trained(monkeypatch):
    """What the stand-in for `harness/training/train` was called with."""
    calls = []

    def train(config, *, clearance):
        calls.append((config, clearance.facts_digest))
        return types.SimpleNamespace(
            was_finished=False,
            steps=8,
            first_loss=6.2,
            last_loss=5.1,
            eval_loss=5.25,
            adapter_dir=Path("out/adapter"),
            log_file=Path("out/logs/training.log"),
        )

    module = types.ModuleType("preflight_ocr.harness.training.train")
    module.train = train
    monkeypatch.setitem(sys.modules, "preflight_ocr.harness.training.train", module)
    return calls


def log_losses(output_dir):
    history.start(output_dir)
    for step, loss in ((1, 4.0), (2, 1.0)):
        history.note(output_dir, step, {"loss": loss}, memory=1 << 20, measured="resident")


def test_a_healthy_setup_is_clear(run, engine, config):
    result = run("check", config)
    assert result.exit_code == 0
    assert result.stdout.startswith("CLEAR: no findings")
    assert "looking" in result.stderr


def test_a_major_finding_exits_with_11_and_a_blocker_with_12(run, engine, config):
    engine.facts = altered(HEALTHY, UNKNOWN_KEY)
    result = run("check", config)
    assert (result.exit_code, "MAJOR CFG001" in result.stdout) == (11, True)
    engine.facts = altered(HEALTHY, UNKNOWN_KEY | MISALIGNED)
    result = run("check", config)
    assert (result.exit_code, "BLOCKER CFG004" in result.stdout) == (12, True)


def test_all_reports_are_written_and_named(run, engine, config, tmp_path):
    engine.facts = altered(HEALTHY, UNKNOWN_KEY)
    result = run(
        "check", config, "--json", "o/r.json", "--html", "o/r.html", "--junit", "o/r.xml", "--sarif", "o/r.sarif"
    )
    assert all(name in result.stdout for name in ("JSON: ", "HTML: ", "JUnit: ", "SARIF: "))
    assert json.loads((tmp_path / "o/r.json").read_text(encoding="utf-8"))["findings"][0]["code"] == "CFG001"
    assert "lora.rank" in (tmp_path / "o/r.html").read_text(encoding="utf-8")
    assert ElementTree.parse(tmp_path / "o/r.xml").find("testsuite").get("failures") == "1"
    (result,) = json.loads((tmp_path / "o/r.sarif").read_text(encoding="utf-8"))["runs"][0]["results"]
    assert (result["ruleId"], result["level"]) == ("CFG001", "warning")
    assert {p.name for p in (tmp_path / "o").iterdir()} == {"r.json", "r.html", "r.xml", "r.sarif"}


def test_a_report_that_cannot_be_written_still_shows_the_verdict(run, engine, config, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    result = run("check", config, "--json", "file/r.json")
    assert result.exit_code == 2
    assert "CLEAR" in result.stdout
    assert "cannot be written" in result.stderr


def test_the_time_limit_reaches_the_engine(run, engine, config):
    run("check", config, "--seconds", "7")
    run("check", config)
    assert [asked["seconds"] for asked in engine.asked] == [7, None]


def test_level_trust_and_only_reach_the_engine(run, engine, config):
    config.write_text("model: {base_model: model}", encoding="utf-8")
    run("check", config, "--level", "read", "--only", "cfg001, COL")
    assert engine.asked[-1]["level"] == "read"
    assert engine.asked[-1]["trust"] is False
    assert engine.asked[-1]["only"] == ("cfg001", "COL")
    run("check", config, "--trust")
    assert engine.asked[-1]["trust"] is True
    assert engine.asked[-1]["config"].model.trust_remote_code is True


def test_a_mistyped_code_names_the_nearest(run, engine, config):
    result = run("check", config, "--only", "unknown_kee")
    assert result.exit_code == 2
    assert "did you mean CFG001 (unknown_key)?" in result.stderr
    assert engine.asked == []


@pytest.mark.parametrize(
    ("text", "part"), [(None, "no such file"), ("model: [", "broken YAML"), ("{}", "`model.base_model` is missing")]
)
@pytest.mark.parametrize("words", [("check", "c.yaml"), ("probe", "c.yaml"), ("write-tests", "c.yaml", "-o", "t")])
def test_a_configuration_that_cannot_be_used_is_one_message_and_exit_2(run, engine, tmp_path, text, part, words):
    if text is not None:
        (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
    result = run(*words)
    assert result.exit_code == 2
    assert part in result.stderr
    assert "Traceback" not in result.output


def test_a_waiver_accepts_a_finding_and_a_stale_one_does_not(run, engine, config, tmp_path):
    engine.facts = altered(HEALTHY, MISALIGNED)
    waivers = tmp_path / "waivers.yaml"
    waivers.write_text("- {code: CFG004, reason: r, link: https://example.org, until: 2999-01-01}", encoding="utf-8")
    assert run("check", config, "--waivers", waivers).exit_code == 0
    engine.facts = HEALTHY
    result = run("check", config, "--waivers", waivers)
    assert (result.exit_code, "waives nothing" in result.stdout) == (2, True)
    assert run("check", config, "--waivers", "absent.yaml").exit_code == 2


def test_probe_prints_the_facts_or_writes_them(run, engine, config, tmp_path):
    assert json.loads(run("probe", config).stdout)["configuration"]["base_model"]
    run("probe", config, "--json", "facts.json")
    assert json.loads((tmp_path / "facts.json").read_text(encoding="utf-8")) == json.loads(HEALTHY.to_json())


def test_probe_reads_a_model_directory_and_runs_nothing_in_it(run, engine, config):
    assert run("probe", config.parent / "model").exit_code == 0
    assert (engine.asked[-1]["level"], engine.asked[-1]["trust"]) == ("read", False)
    result = run("probe", config.parent)
    assert (result.exit_code, "without config.json" in result.stderr) == (2, True)


def test_explain_takes_code_or_name(run):
    by_code, by_name = run("explain", "cfg001"), run("explain", "unknown_key")
    assert by_code.exit_code == 0
    assert by_code.stdout == by_name.stdout
    assert by_code.stdout.startswith("CFG001 unknown_key (")
    assert "Why it matters" in by_code.stdout


def test_explain_names_the_nearest_for_a_mistyped_code(run):
    result = run("explain", "warmup_beyond_runs")
    assert result.exit_code == 2
    assert "did you mean CFG003 (warmup_beyond_run)?" in result.stderr


def test_explain_of_a_family_lists_its_diagnoses(run):
    lines = run("explain", "cfg").stdout.splitlines()
    assert lines[0] == "CFG: configuration"
    assert any(line.startswith("CFG001  MAJOR    unknown_key") for line in lines)
    assert not any(line.startswith("COL") for line in lines)
    assert "or a family: ENV, CFG" in run("explain", "nonsense").stderr


def test_explain_ends_well_where_its_reader_leaves_early(tmp_path):
    program = f"'{sys.executable}' -m preflight_ocr explain COL001 | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", program], cwd=ROOT.parent, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["COL001 broadcast_mask (BLOCKER, ran)", "0"]


@pytest.mark.parametrize("command", [("check",), ("explain",), ("index", "update"), ()])
def test_h_is_help(run, command):
    assert run(*command, "-h").stdout.startswith("Usage: ")


def test_the_last_line_says_what_to_do_next(run, engine, config):
    assert run("check", config).stdout.splitlines()[-1] == "Next: type `run-training --config preflight.yaml`, to train"
    said = run("check", config, "--level", "read").stdout.splitlines()[-1]
    assert said == "Next: type `preflight check preflight.yaml`, to run it too"
    engine.facts = altered(HEALTHY, UNKNOWN_KEY | MISALIGNED)
    assert "Next: fix CFG004 misaligned_save_steps (1 more after it)" in run("check", config).stdout


def test_quiet_is_the_verdict_and_a_line_a_finding(run, engine, config):
    engine.facts = altered(HEALTHY, UNKNOWN_KEY)
    result = run("check", config, "-q")
    assert (result.exit_code, result.stderr) == (11, "")
    lines = [line for line in result.stdout.splitlines() if not line.startswith("Clearance: ")]
    assert len(lines) == 3
    assert lines[2].startswith("MAJOR CFG001 unknown_key: ")


def test_verbose_names_every_contract_and_what_took_how_long(run, engine, config):
    usual, full = run("check", config).stdout, run("check", config, "--verbose").stdout
    assert "CFG001-unknown_key" in full and "Took: read 0.1 s" in full
    assert "CFG001-unknown_key" not in usual


def test_with_a_baseline_only_what_is_new_fails(run, engine, config):
    engine.facts = altered(HEALTHY, UNKNOWN_KEY)
    run("check", config, "--json", "b.json")
    result = run("check", config, "--baseline", "b.json")
    assert (result.exit_code, "MAJOR CFG001" in result.stdout) == (0, True)
    assert "Baseline: 1 known finding, 0 new or worse" in result.stderr
    engine.facts = altered(HEALTHY, UNKNOWN_KEY | MISALIGNED)
    assert run("check", config, "--baseline", "b.json").exit_code == 12


def test_a_baseline_does_not_hide_what_is_no_longer_looked_at(run, engine, config):
    engine.facts = altered(HEALTHY, MISALIGNED)
    run("check", config, "--json", "b.json")
    engine.facts = altered(HEALTHY, MISALIGNED | {"dataset": Unknown(reason="gone")})
    result = run("check", config, "--baseline", "b.json")
    assert result.exit_code == 3
    assert "were not looked at now" in result.stderr


def test_a_baseline_that_is_no_report_is_refused_before_anything_runs(run, engine, config):
    assert run("check", config, "--baseline", config).exit_code == 2
    assert engine.asked == []


def test_several_files_are_read_and_the_worst_decides(run, engine, config):
    engine.facts = altered(HEALTHY, MISALIGNED)
    result = run("read-files", config, config)
    assert result.exit_code == 12
    assert result.stdout.count("BLOCKER CFG004") == 2
    assert {asked["level"] for asked in engine.asked} == {"read"}


def test_a_check_takes_over_what_it_can_and_fresh_does_not(run, engine, config, tmp_path):
    run("check", config, "--html", tmp_path / "page.html")
    run("check", config, "--fresh")
    assert [asked["reuses"] for asked in engine.asked] == [True, False]
    assert engine.asked[0]["writes"] == (str(tmp_path / "page.html"),)


def test_watch_checks_again_on_save_and_outlives_a_file_that_is_half_written(run, engine, config, monkeypatch):
    saves = iter(["model: {", config.read_text(encoding="utf-8"), None])

    def save_something(paths, before):
        assert config in paths
        text = next(saves)
        if text is None:
            raise KeyboardInterrupt
        config.write_text(text, encoding="utf-8")
        return config

    monkeypatch.setattr(watching, "wait", save_something)
    result = run("check", config, "--watch", "-q")
    assert result.exit_code == 130
    assert len(engine.asked) == 2  # the broken one never got so far
    assert result.stdout.count("CLEAR") == 2
    assert "Error: " in result.stderr and "Watching " in result.stderr


def test_a_saved_file_is_seen_and_one_that_is_as_it_was_is_not(tmp_path, monkeypatch):
    first, second = tmp_path / "a.py", tmp_path / "b.py"
    first.write_text("", encoding="utf-8")
    before = watching.stamp([first, second])
    naps = []

    def write_at_the_second_nap(seconds):
        naps.append(seconds)
        if len(naps) == 2:
            second.write_text("x", encoding="utf-8")

    monkeypatch.setattr(watching.time, "sleep", write_at_the_second_nap)
    assert watching.wait([first, second], before) == second
    assert naps[:2] == [watching.PAUSE, watching.PAUSE]


@pytest.mark.parametrize("words", [("--watch", "--fix"), ("--watch", "--trust", "--", "python", "x.py")])
def test_watch_refuses_what_it_cannot_do(run, engine, config, words):
    assert run("check", *(() if "--" in words else (config,)), *words).exit_code == 2
    assert engine.asked == []


def test_list_shows_the_whole_catalogue(run):
    from preflight_ocr.harness.diagnoses import catalogue

    lines = run("list").stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [[m.DIAGNOSIS.code, m.DIAGNOSIS.name] for m in catalogue()]


def test_list_shows_every_declared_family_without_importing_what_it_is_about():
    program = (
        "import sys; from preflight_ocr.harness.cli import preflight\n"
        "preflight(['list', '--models'], standalone_mode=False); "
        "print('heavy:', *{'torch', 'transformers', 'PIL'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    *lines, heavy = done.stdout.splitlines()
    assert heavy == "heavy:"
    assert "What can be run here is seen from torch " in lines[0]
    shown = [line.rpartition(": ")[0] if ": " in line else line for line in lines[2:] if line[:1] not in (" ", "")]
    assert [name.partition(":")[0] for name in shown] == [family.shown for family in FAMILIES.values()]
    assert max(map(len, lines)) <= 100


def test_training_starts_only_after_a_clear_check(run, engine, config, trained, tmp_path):
    engine.facts = altered(HEALTHY, MISALIGNED)
    result = run("--config", config, command=cli.run_training)
    assert result.exit_code == 12
    assert "BLOCKER CFG004" in result.stdout
    assert trained == []
    engine.facts = altered(HEALTHY, UNKNOWN_KEY)
    result = run("--config", config, command=cli.run_training)
    assert result.exit_code == 0
    assert "Trained 8 steps, loss 6.200 -> 5.100, 5.250 on held-out rows" in result.stdout
    assert trained[0][1] == engine.facts.digest()
    assert (tmp_path / "out" / "clearance.json").is_file()


def test_pictures_are_made_only_for_a_page(run, engine, config):
    run("check", config, "--json", "r.json")
    run("check", config, "--html", "r.html")
    assert [asked["illustrated"] for asked in engine.asked] == [False, True]


def test_a_page_draws_the_run_that_the_output_directory_holds(run, engine, config, tmp_path):
    log_losses(tmp_path / "out")
    run("check", config, "--html", "r.html")
    assert "Loss of the run: 4 at first, 1 at last." in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_after_training_the_page_holds_the_curves_of_the_run(run, engine, config, trained, tmp_path, monkeypatch):
    def train(config, *, clearance):
        page = (tmp_path / "r.html").read_text(encoding="utf-8")
        assert "Loss of the run" not in page  # there before the run, in case it never ends
        log_losses(tmp_path / "out")
        raise RuntimeError("out of memory")

    monkeypatch.setattr(sys.modules["preflight_ocr.harness.training.train"], "train", train)
    with pytest.raises(RuntimeError, match="out of memory"):
        run("--config", config, "--html", "r.html", command=cli.run_training)
    assert "Loss of the run: 4 at first, 1 at last." in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_does_not_hide_why_training_failed(
    run, engine, config, trained, monkeypatch, capfd
):
    from preflight_ocr.harness import atomic

    def train(config, *, clearance):
        def refuse(path, text):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(atomic, "write_text", refuse)
        raise RuntimeError("the cause")

    monkeypatch.setattr(sys.modules["preflight_ocr.harness.training.train"], "train", train)
    with pytest.raises(RuntimeError, match="the cause"):
        run("--config", config, "--html", "r.html", command=cli.run_training)


def test_a_page_takes_a_check_even_where_a_clearance_holds(run, engine, config, trained, tmp_path):
    words = ("--config", config, "--clearance", "c.json")
    run(*words, command=cli.run_training)
    run(*words, "--html", "r.html", command=cli.run_training)
    assert len(engine.asked) == 2
    assert (tmp_path / "r.html").is_file()


def test_a_page_that_cannot_be_written_stops_before_training(run, engine, config, trained, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    result = run("--config", config, "--html", "file/r.html", command=cli.run_training)
    assert result.exit_code == 2
    assert trained == []


def test_a_clearance_is_written_accepted_and_refused_after_a_change(run, engine, config, trained):
    words = ("--config", config, "--clearance", "c.json")
    run(*words, command=cli.run_training)
    result = run(*words, command=cli.run_training)
    assert "nothing changed since" in result.stdout
    assert (len(engine.asked), len(trained)) == (1, 2)
    (config.parent / "model" / "config.json").write_text('{"a": 1}', encoding="utf-8")
    result = run(*words, command=cli.run_training)
    assert "no longer holds (model files)" in result.stderr
    assert (len(engine.asked), len(trained)) == (2, 3)


def test_a_check_writes_the_clearance_that_training_accepts(run, engine, config, trained):
    result = run("check", config)
    assert "Clearance: " in result.stdout
    result = run("--config", config, command=cli.run_training)
    assert "nothing changed since" in result.stdout
    assert (len(engine.asked), len(trained)) == (1, 1)


@pytest.mark.parametrize("words", [("--level", "read"), ("--only", "CFG004")])
def test_a_check_of_a_part_writes_no_clearance(run, engine, config, trained, words):
    assert "Clearance: " not in run("check", config, *words).stdout
    run("--config", config, command=cli.run_training)
    assert len(engine.asked) == 2


def test_a_check_that_finds_a_blocker_takes_the_last_clearance_away(run, engine, config, trained):
    run("check", config)
    engine.facts = altered(HEALTHY, MISALIGNED)
    assert run("check", config).exit_code == 12
    assert run("--config", config, command=cli.run_training).exit_code == 12
    assert (len(engine.asked), trained) == (3, [])


def test_trust_is_asked_before_a_clearance_is_looked_at(run, engine, config, trained, tmp_path):
    (tmp_path / "parts.py").write_text("def collate(): ...", encoding="utf-8")
    text = config.read_text(encoding="utf-8").replace(", trust_remote_code: true", "")
    config.write_text(f'{text}subject: {{collator: "parts:collate"}}\n', encoding="utf-8")
    run("check", config, "--trust")
    result = run("--config", config, command=cli.run_training)
    assert "is not looked at: foreign code is not run without trust" in result.stderr
    assert len(engine.asked) == 2
    assert not engine.asked[1]["trust"]
    run("--config", config, "--trust", command=cli.run_training)
    assert len(engine.asked) == 3  # the check without trust was bound to another answer


def test_a_broken_clearance_stops_before_anything_runs(run, engine, config, trained, tmp_path):
    (tmp_path / "c.json").write_text("nonsense", encoding="utf-8")
    result = run("--config", config, "--clearance", "c.json", command=cli.run_training)
    assert (result.exit_code, engine.asked, trained) == (2, [], [])


def test_help_lists_every_exit_code():
    assert all(f"{code:>4}  " in f"  {cli.EPILOG}" for code in EXIT_CODES)


def test_our_own_failure_is_a_short_message_and_a_log_file(config, tmp_path):
    """In a process of its own, as only there the interpreter's last resort can be seen at work."""
    program = (
        "import sys, types\n"
        "module = types.ModuleType('preflight_ocr.harness.check.check')\n"
        "def check(config, **words): raise ZeroDivisionError('a bug of ours')\n"
        "module.check = check\n"
        "sys.modules['preflight_ocr.harness.check.check'] = module\n"
        "from preflight_ocr.harness.cli import preflight\n"
        "preflight()\n"
    )
    ran = _python("-c", program, "check", str(config), cwd=tmp_path)
    assert ran.returncode == 1
    assert "Preflight itself failed: ZeroDivisionError: a bug of ours" in ran.stderr
    assert "Traceback" not in ran.stderr
    (log,) = (tmp_path / "logs").iterdir()
    assert str(Path("logs") / log.name) in ran.stderr
    assert "Traceback" in log.read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["preflight", "run_training"])
def test_help_is_there_at_once_and_imports_nothing_heavy(command):
    program = (
        f"import sys\nfrom preflight_ocr.harness.cli import {command} as command\n"
        "command(['--help'], standalone_mode=False)\n"
        "assert not {'torch', 'transformers', 'peft', 'PIL', 'numpy'} & set(sys.modules)\n"
    )
    assert min(_time(program) for _ in range(5)) < 0.3


def _time(program: str) -> float:
    """Seconds of processor time where they can be had: a busy machine does not make the command slower."""
    before, started = os.times(), time.perf_counter()
    assert _python("-c", program).returncode == 0
    after, elapsed = os.times(), time.perf_counter() - started
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return used or elapsed


def _python(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    root = str(Path(cli.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        encoding="utf-8",
        cwd=cwd,
        env=environment,
        check=False,
        timeout=60,
    )


def list_commands(group, name="preflight"):
    for word, command in group.commands.items():
        yield f"{name} {word}", command
        if hasattr(command, "commands"):
            yield from list_commands(command, f"{name} {word}")


def test_every_command_says_what_it_does_in_a_sentence_that_the_list_does_not_cut():
    commands = [*list_commands(cli.preflight), ("run-training", cli.run_training)]
    for name, command in commands:
        first = " ".join((command.help or "").split("\n\n")[0].split())
        assert first[:1].isupper() and first.endswith((".", ":")), name
        assert name == "run-training" or not command.get_short_help_str(57).endswith("..."), name
