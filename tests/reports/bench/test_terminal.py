from __future__ import annotations

import msgspec

from preflight_ocr.harness.facts import Unknown
from preflight_ocr.reports.bench.terminal import render


def test_the_table_shows_every_figure_and_the_highest_batch(measured):
    lines = render(measured).splitlines()
    assert lines[0] == "DeepseekOCRForCausalLM on NVIDIA L4 (cuda, 24 GiB, driver 580.65, CUDA 12.8)"
    assert "no checkpointing; torch 2.13.0+cu128, peft 0.21.2" in lines[1]
    cells = next(line.split() for line in lines if line.split()[:1] == ["2"])
    assert cells == [
        "2", "as", "is", "80.0", "500.0", "ms", "2,000", "6.40", "GiB", "6.08", "GiB", "-5.0%", "8.00", "GiB", "8.50", "GiB",
        "93", "%", "72", "W",
    ]  # fmt: skip
    assert lines[-1] == "Highest batch that fits the budget of 16.00 GiB: 2"


def test_a_batch_that_did_not_fit_is_a_dash_with_its_reason(measured):
    text = render(measured)
    assert "- batch 8: OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB." in text
    assert "- batch 16: not tried, batch 8 ended with OutOfMemoryError" in text
    assert next(line.split() for line in text.splitlines() if line.split()[:1] == ["8"])[3:] == ["-"] * 10


def test_what_was_not_measured_is_never_a_zero(measured):
    why = Unknown(reason="not measured: no accelerator")
    lost = dict.fromkeys(("allocated", "reserved", "overhead", "utilisation", "power"), why)
    cpu = msgspec.structs.replace(measured, points=(msgspec.structs.replace(measured.points[0], **lost),))
    text = render(cpu)
    assert "- memory, busy, power: not measured: no accelerator" in text
    assert "Highest batch that fits: not known (not measured: no accelerator)" in text


def test_the_largest_that_was_tried_may_not_be_the_largest_that_fits(measured):
    few = msgspec.structs.replace(measured, points=measured.points[:2])
    assert render(few).endswith(": 2, the largest that was tried")


def test_page_sizes_have_a_line_each(measured):
    sized = tuple(msgspec.structs.replace(p, image_size=s) for s in (512, 1024) for p in measured.points[:1])
    text = render(msgspec.structs.replace(measured, points=sized))
    assert "512 px" in text and "at 1024 px: 1" in text


def test_rows_that_were_left_out_are_counted(measured):
    points = tuple(msgspec.structs.replace(p, left_out=1) for p in measured.points)
    assert "- 1 sampled row: left out, the collator refuses them" in render(
        msgspec.structs.replace(measured, points=points)
    )
