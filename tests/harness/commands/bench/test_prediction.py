from __future__ import annotations

import msgspec
import pytest
import yaml

from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.check.trust import NO_TRUST
from preflight_ocr.harness.commands.bench import command
from preflight_ocr.harness.commands.bench.command import predict_all
from preflight_ocr.harness.commands.bench.prediction import _with_batch, predict_peak
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.facts import Unknown


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A healthy project whose YAML names its folders relative to itself."""
    path = write_project(tmp_path / "project", [])
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["data"] |= {"train_path": "train", "val_path": "val"}
    document["optimization"] = {"per_gpu_train_batch_size": 7}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return load_config(path)


def test_only_the_batch_size_is_another_one(config, tmp_path):
    changed = _with_batch(config, 5, tmp_path)
    assert changed.training.per_device_train_batch_size == 5
    assert changed.data == config.data and changed.model == config.model and changed.subject == config.subject
    assert changed.lora == config.lora and changed.budget == config.budget
    same = msgspec.structs.replace(config.training, per_device_train_batch_size=5, arguments={})
    assert msgspec.structs.replace(changed.training, arguments={}) == same


def test_a_larger_batch_is_predicted_to_need_more(config, sandbox):
    one, four = (predict_peak(config, batch, trust=True, sandbox=sandbox) for batch in (1, 4))
    assert isinstance(one, int) and isinstance(four, int), (one, four)
    assert 0 < one < four


def test_without_trust_the_reason_is_told(config):
    predicted = predict_peak(config, 1)
    assert isinstance(predicted, Unknown) and NO_TRUST in predicted.reason


def test_nothing_is_predicted_where_nothing_was_measured(config, measured):
    why = Unknown(reason="not measured: no accelerator")
    cpu = [msgspec.structs.replace(point, reserved=why) for point in measured.points]
    assert all("preflight memory" in point.predicted.reason for point in predict_all(config, cpu, trust=True))


def test_each_measured_point_gets_its_own_prediction(config, measured, monkeypatch):
    monkeypatch.setattr(command, "predict_peak", lambda config, batch, **given: batch * 1000)
    points = predict_all(
        config, (*measured.points[:2], msgspec.structs.replace(measured.points[0], image_size=512)), trust=True
    )
    assert [point.predicted for point in points[:2]] == [1000, 2000]
    assert points[2].predicted == Unknown(reason="predicted for the pages as they are only")
