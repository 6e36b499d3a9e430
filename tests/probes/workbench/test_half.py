"""Half precision on a processor without instructions for it: the same numbers, sooner, and the same refusals."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn
from torch.nn.functional import linear, scaled_dot_product_attention

from preflight_ocr.harness.config.schema import TrainingSection
from preflight_ocr.probes.workbench import half
from preflight_ocr.probes.workbench.half import speed_up_half

PLAIN = TrainingSection()
HALF = [torch.bfloat16, torch.float16]


@pytest.fixture
def taken(monkeypatch) -> list[torch.dtype]:
    """The dtypes of the products that were taken in another way, on a processor with no instructions for either."""
    seen: list[torch.dtype] = []
    multiply = half._multiply
    monkeypatch.setattr(half, "_is_native", lambda dtype: False)
    monkeypatch.setattr(
        half, "_multiply", lambda product, slow, *a, **k: seen.append(a[0].dtype) or multiply(product, slow, *a, **k)
    )
    return seen


def model_of(dtype: torch.dtype) -> nn.Module:
    return nn.Linear(2, 2).to(dtype)


def draw(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape))).to(dtype)


def list_products(dtype: torch.dtype) -> Iterator[tuple[object, tuple[torch.Tensor, ...]]]:
    yield torch.matmul, (draw(5, 7, dtype=dtype), draw(7, 3, dtype=dtype))
    yield torch.matmul, (draw(2, 5, 7, dtype=dtype), draw(2, 7, 3, dtype=dtype))
    yield linear, (draw(5, 7, dtype=dtype), draw(3, 7, dtype=dtype), draw(3, dtype=dtype))
    yield linear, (draw(4, 5, 7, dtype=dtype), draw(3, 7, dtype=dtype))
    yield torch.baddbmm, (draw(2, 5, 3, dtype=dtype), draw(2, 5, 7, dtype=dtype), draw(2, 7, 3, dtype=dtype))
    yield scaled_dot_product_attention, tuple(draw(1, 2, 5, 8, dtype=dtype) for _ in range(3))


@pytest.mark.parametrize("dtype", HALF)
def test_products_are_those_of_float32_rounded_once(dtype, taken):
    with speed_up_half(model_of(dtype), PLAIN):
        for product, given in list_products(dtype):
            found, wanted = product(*given), product(*(one.float() for one in given)).to(dtype)
            assert found.dtype == dtype
            torch.testing.assert_close(found, wanted, rtol=0, atol=0)
    assert taken


@pytest.mark.parametrize("dtype", HALF)
def test_gradients_keep_the_dtype_and_are_those_of_the_kernels_that_torch_has(dtype, taken):
    def differentiate() -> list[torch.Tensor]:
        query = draw(1, 2, 6, 8, dtype=dtype).requires_grad_()
        weight = (draw(8, 8, dtype=dtype) / 8).requires_grad_()
        mask = torch.ones(6, 6, dtype=torch.bool).tril()
        scaled_dot_product_attention(linear(query, weight), query, query, attn_mask=mask).sum().backward()
        return [query.grad, weight.grad]

    own = differentiate()
    with speed_up_half(model_of(dtype), PLAIN):
        for mine, theirs in zip(differentiate(), own, strict=True):
            assert mine.dtype == dtype
            torch.testing.assert_close(mine, theirs, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("dtype", HALF)
def test_a_product_of_two_dtypes_is_refused_in_the_words_of_torch(dtype, taken):
    """What is refused here is what the run would die of, and the words are read by the diagnoses."""
    pairs = [
        lambda: linear(draw(5, 7, dtype=torch.float32), draw(3, 7, dtype=dtype), draw(3, dtype=dtype)),
        lambda: linear(draw(5, 7, dtype=dtype), draw(3, 7, dtype=torch.float32)),
        lambda: linear(draw(5, 7, dtype=dtype), draw(3, 7, dtype=dtype), draw(3, dtype=torch.float32)),
        lambda: torch.bmm(draw(2, 5, 7, dtype=dtype), draw(2, 7, 3, dtype=torch.float32)),
        lambda: torch.bmm(draw(2, 5, 7, dtype=torch.float32), draw(2, 7, 3, dtype=dtype)),
        lambda: torch.mm(draw(5, 7, dtype=torch.float32), draw(7, 3, dtype=dtype)),
        lambda: torch.mm(draw(5, 7, dtype=dtype), draw(8, 3, dtype=dtype)),
        lambda: scaled_dot_product_attention(
            draw(1, 2, 5, 8, dtype=dtype), *(draw(1, 2, 5, 8, dtype=torch.float32) for _ in range(2))
        ),
    ]

    def listen() -> list[str]:
        said = []
        for pair in pairs:
            with pytest.raises(RuntimeError) as caught:
                pair()
            said.append(str(caught.value))
        return said

    own = listen()
    with speed_up_half(model_of(dtype), PLAIN):
        assert listen() == own


def test_torch_has_its_own_kernels_again_behind_the_block(taken):
    with speed_up_half(model_of(torch.bfloat16), PLAIN):
        torch.mm(draw(2, 2, dtype=torch.bfloat16), draw(2, 2, dtype=torch.bfloat16))
    inside = len(taken)
    torch.mm(draw(2, 2, dtype=torch.bfloat16), draw(2, 2, dtype=torch.bfloat16))
    assert inside and len(taken) == inside


def test_nothing_is_changed_for_weights_in_float32_unless_the_run_casts_them(taken):
    for training, touched in ((PLAIN, False), (TrainingSection(bf16=True), True), (TrainingSection(fp16=True), True)):
        taken.clear()
        with speed_up_half(model_of(torch.float32), training):
            torch.mm(draw(2, 2, dtype=torch.float32), draw(2, 2, dtype=torch.float32))
        assert bool(taken) == touched


def test_a_processor_with_the_instructions_keeps_its_kernels(taken, monkeypatch):
    monkeypatch.setattr(half, "_is_native", lambda dtype: True)
    with speed_up_half(model_of(torch.bfloat16), PLAIN):
        torch.mm(draw(2, 2, dtype=torch.bfloat16), draw(2, 2, dtype=torch.bfloat16))
    assert not taken
