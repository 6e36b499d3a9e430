"""What the installed transformers' own source says of values and packages, against what it does when it is asked."""

from __future__ import annotations

import pytest
from transformers.trainer_utils import SchedulerType
from transformers.training_args import OptimizerNames

from preflight_ocr.probes.reading.exports import open_exports
from preflight_ocr.probes.reading.run_values import _Tables


@pytest.fixture(scope="module")
def tables():
    return _Tables(open_exports())


def test_the_names_read_are_those_of_the_enumerations(tables):
    assert set(tables.list_values("training_args", "OptimizerNames")) == {member.value for member in OptimizerNames}
    assert set(tables.list_values("trainer_utils", "SchedulerType")) == {member.value for member in SchedulerType}


@pytest.mark.parametrize(
    ("key", "value", "package"),
    [
        ("report_to", "wandb", "wandb"),
        ("report_to", "tensorboard", "tensorboard"),
        ("optim", "paged_adamw_8bit", "bitsandbytes"),
        ("optim", "galore_adamw", "galore_torch"),
        ("optim", "lomo", "lomo_optim"),
        ("deepspeed", "ds.json", "deepspeed"),
        ("use_liger_kernel", True, "liger_kernel"),
    ],
)
def test_a_value_that_needs_a_package_is_read_with_it(tables, key, value, package):
    assert package in tables.find_packages(key, value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("optim", "adamw_torch"),
        ("optim", "adafactor"),
        ("use_cpu", True),
        ("deepspeed", None),
        ("seed", 3),
        ("bf16", True),
    ],
)
def test_a_value_that_needs_nothing_is_read_without_a_package(tables, key, value):
    assert tables.find_packages(key, value) == ()
