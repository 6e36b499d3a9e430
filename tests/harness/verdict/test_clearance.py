"""Whatever a check read or executed is changed here, one thing at a time: the clearance falls, and says with what."""

from __future__ import annotations

import datetime
import json
import os
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.verdict import binding, signing
from preflight_ocr.harness.verdict.binding import Binding
from preflight_ocr.harness.verdict.clearance import Clearance, find_last
from preflight_ocr.harness.verdict.gate import GateError, Waiver
from tests.campaign.gate import CHANGES, TEXT, TOUCHED, add, put_byte, write_project
from tests.support.clearances import clear

TODAY = datetime.date(2030, 1, 15)
WAIVER = Waiver(code="COL001", reason="known", link="https://example.org/1", until=TODAY)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    write_project(tmp_path)
    yield tmp_path


@pytest.fixture
def config(project: Path) -> Config:
    return load_config(project / "preflight.yaml")


@pytest.fixture
def cleared(config: Config, project: Path) -> Clearance:
    return clear(config, waivers=(WAIVER,), touched=tuple(str(project / name) for name in TOUCHED))


def test_a_clearance_of_one_process_is_none_for_eight_that_share_its_steps(
    cleared: Clearance, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert cleared.changes(config, waivers=(WAIVER,), today=TODAY) == ("number of processes",)
    eight = clear(config, waivers=(WAIVER,))
    assert eight.still_holds(config, waivers=(WAIVER,), today=TODAY)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert eight.changes(config, waivers=(WAIVER,), today=TODAY) == ("number of processes",)


@pytest.mark.parametrize("name", CHANGES)
def test_a_clearance_falls_with_what_it_was_given_for(
    name: str, cleared: Clearance, config: Config, project: Path
) -> None:
    assert cleared.still_holds(config, waivers=(WAIVER,), today=TODAY)
    change, part = CHANGES[name]
    change(project)
    (said,) = cleared.changes(config, waivers=(WAIVER,), today=TODAY)
    assert part in said
    assert not cleared.still_holds(config, waivers=(WAIVER,), today=TODAY)


@pytest.mark.parametrize(
    ("given", "today"),
    [
        ((), TODAY),
        (None, TODAY + datetime.timedelta(days=1)),
        ((WAIVER,), TODAY + datetime.timedelta(days=1)),
        ((msgspec.structs.replace(WAIVER, until=TODAY + datetime.timedelta(days=9)),), TODAY),
        ((msgspec.structs.replace(WAIVER, reason="another"),), TODAY),
        ((WAIVER, msgspec.structs.replace(WAIVER, code="LBL002")), TODAY),
    ],
    ids=["gone", "lapsed", "lapsed and given", "a later end", "another reason", "one more"],
)
def test_a_clearance_falls_with_its_waivers(
    cleared: Clearance, config: Config, given: tuple[Waiver, ...] | None, today: datetime.date
) -> None:
    assert cleared.changes(config, waivers=given, today=today) == ("waivers",)


def test_a_clearance_does_not_stand_in_for_trust(cleared: Clearance, config: Config) -> None:
    untrusted = msgspec.structs.replace(config.model, trust_remote_code=False)
    asked = msgspec.structs.replace(config, model=untrusted)
    assert cleared.changes(asked, today=TODAY) == ("trust",)


@pytest.mark.parametrize(
    "edit",
    [
        {"verdict": "refused"},
        {"level": "gpu"},
        {"facts_digest": "0" * 64},
        {"bound_to": {}},
        {"files": {}},
        {"waivers": ()},
        {"issued": datetime.datetime(2031, 1, 1, tzinfo=datetime.UTC)},
        {"signature": ""},
        {"signature": "\u00e9"},
    ],
    ids=lambda edit: next(iter(edit)),
)
def test_an_edited_clearance_is_refused(cleared: Clearance, config: Config, edit: dict[str, object]) -> None:
    assert msgspec.structs.replace(cleared, **edit).changes(config, today=TODAY) == ("signature",)


def test_a_digest_that_was_computed_again_does_not_help(cleared: Clearance, config: Config, project: Path) -> None:
    add("rows/metadata.json", " ")(project)
    forged = msgspec.structs.replace(cleared, bound_to=binding.bind(config, waivers=(WAIVER,)))
    assert forged.changes(config, today=TODAY) == ("signature",)


def test_a_clearance_of_another_machine_is_refused(cleared: Clearance, config: Config) -> None:
    signing.find_key().unlink()
    assert cleared.changes(config, today=TODAY) == ("signature",)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_the_key_is_its_owners_alone_and_one_that_others_could_read_is_replaced(
    cleared: Clearance, config: Config
) -> None:
    key = signing.find_key()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert cleared.still_holds(config, today=TODAY)
    key.chmod(0o644)
    assert cleared.changes(config, today=TODAY) == ("signature",)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


@pytest.mark.parametrize("change", ["verdict", "level"])
def test_a_refusal_or_a_mere_reading_clears_nothing(config: Config, change: str) -> None:
    bound = Binding(config).settle(())
    words = {"verdict": "clear", "level": "ran"} | (
        {"verdict": "refused"} if change == "verdict" else {"level": "read"}
    )
    issued = Clearance.issue(bound, facts_digest="f", **words)  # type: ignore[arg-type]
    assert issued.changes(config) == ()
    assert not issued.still_holds(config)


@pytest.mark.parametrize(
    ("name", "part"),
    [("rows/metadata.json", "rows"), ("model/model.safetensors", "model files"), ("elsewhere/masks.py", "masks.py")],
)
def test_what_is_swapped_while_the_check_runs_is_not_cleared(
    config: Config, project: Path, name: str, part: str
) -> None:
    before = Binding(config)
    time.sleep(0.02)
    put_byte(name, 0)(project)
    bound = before.settle([str(project / "elsewhere" / "masks.py")])
    assert len(bound.changed) == 1 and part in bound.changed[0]
    with pytest.raises(GateError, match="changed while it was checked"):
        Clearance.issue(bound, verdict="clear", level="ran", facts_digest="f")


def test_a_hub_id_binds_the_files_of_its_snapshot(project: Path) -> None:
    repository = project / "hub" / "hub" / "models--page--reader"
    snapshot = repository / "snapshots" / "abc"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc", encoding="utf-8")
    snapshot.mkdir(parents=True)
    (snapshot / "modeling.py").write_text("x = 1", encoding="utf-8")
    (project / "preflight.yaml").write_text("model: {base_model: page/reader}", encoding="utf-8")
    config = load_config(project / "preflight.yaml")
    cleared = clear(config)
    assert cleared.still_holds(config)
    (snapshot / "modeling.py").write_text("x = 2", encoding="utf-8")
    assert cleared.changes(config) == ("model files",)


def test_installed_files_and_what_the_run_writes_are_not_bound_one_by_one(config: Config, project: Path) -> None:
    written = [
        project / "out" / name for name in ("trainer_state.json", "checkpoint-1/state.json", "logs/history.jsonl")
    ]
    for path in written:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}", encoding="utf-8")
    touched = [json.__file__, msgspec.__file__, *map(str, written), "relative.py", "/dev/null"]
    assert Binding(config).settle(touched).files == {}


def test_a_run_that_writes_into_the_projects_own_folder_leaves_no_helper_unbound(project: Path) -> None:
    (project / "preflight.yaml").write_text(TEXT.replace("output_dir: out", "output_dir: ."), encoding="utf-8")
    config = load_config(project / "preflight.yaml")
    helper = project / "elsewhere" / "masks.py"
    cleared = clear(config, touched=(str(helper),))
    assert cleared.still_holds(config)
    add("elsewhere/masks.py")(project)
    assert cleared.changes(config) == (f"the file {helper}",)


def test_what_a_run_writes_into_the_models_folder_does_not_end_the_clearance(project: Path) -> None:
    (project / "preflight.yaml").write_text(TEXT.replace("output_dir: out", "output_dir: model/out"), encoding="utf-8")
    config = load_config(project / "preflight.yaml")
    cleared = clear(config)
    add("model/out/checkpoint-1/adapter.safetensors")(project)
    assert cleared.still_holds(config)


def test_a_clearance_survives_the_disk(cleared: Clearance, config: Config, tmp_path: Path) -> None:
    cleared.write(tmp_path / "place" / "clearance.json")
    read = Clearance.read(tmp_path / "place" / "clearance.json")
    assert read == cleared
    assert read.still_holds(config, waivers=(WAIVER,), today=TODAY)


def test_each_project_has_a_last_clearance_of_its_own_outside_of_its_folder(config: Config, project: Path) -> None:
    other = msgspec.structs.replace(config, source=project / "other.yaml")
    assert find_last(config) != find_last(other)
    assert find_last(config).is_relative_to(project / "state")


def test_another_models_clearance_is_not_accepted(cleared: Clearance, config: Config) -> None:
    other = msgspec.structs.replace(config, model=msgspec.structs.replace(config.model, revision="abc"))
    assert cleared.changes(other, today=TODAY) == ("model files",)


def test_a_clearance_falls_with_an_installed_version(
    cleared: Clearance, config: Config, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "site" / "thing-1.0.dist-info").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(project / "site"))
    assert cleared.changes(config, today=TODAY) == ("versions",)
    monkeypatch.undo()


def test_whole_weights_are_read_once(
    cleared: Clearance, config: Config, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from preflight_ocr.harness.verdict import digests

    old = time.time() - 100
    monkeypatch.setattr(digests, "_SETTLED_NS", -1)
    weights = project / "model" / "model.safetensors"
    os.utime(weights, (old, old))
    first = digests.digest_files([weights])
    monkeypatch.setattr(digests, "_digest_file", lambda path: pytest.fail(f"{path} was read again"))
    assert digests.digest_files([weights]) == first
    kept = next((project / "cache").rglob("digests-1.msgpack"))
    kept.write_bytes(kept.read_bytes()[:-8] + b"00000000")  # not signed any more: not believed
    monkeypatch.setattr(digests, "_digest_file", lambda path: "anew")
    assert digests.digest_files([weights]) == {weights: "anew"}


def test_a_file_that_is_no_clearance_says_so(tmp_path: Path) -> None:
    path = tmp_path / "clearance.json"
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(GateError, match="not a clearance"):
        Clearance.read(path)
    with pytest.raises(GateError, match="cannot be read"):
        Clearance.read(tmp_path / "absent.json")
