"""The rules for mixed devices, held against torch: its own fake CUDA tensors, its meta device, and its list of kernels.

Real tensors on a card are not to be had on a machine without one. Three things stand in: FakeTensor, with which
torch.compile finds out what a CUDA tensor would do; `meta`, a second device whose element-wise kernels check for real; and
native_functions.yaml, from which torch generates the device checks of its CUDA kernels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchgen
import yaml
from torch._subclasses.fake_tensor import FakeTensorMode

from preflight_ocr.probes.placement.rules import ANYWHERE, CARD, CPU, FREE, INDEXING, STRICT, Argument, judge
from preflight_ocr.probes.placement.simulated_card import simulate

aten = torch.ops.aten
M, V, N, IDS, B = (2, 3), (3,), (), "indices", "mask"  # a matrix, a vector, a number; int64 [2]; bool [3]

# (operation, its tensors in order). In each case every way to spread them over the CPU and the card is tried.
ELEMENTWISE: list[tuple[str, Any, tuple[Any, ...]]] = [
    ("add vectors", aten.add.Tensor, (V, V)),
    ("add a number", aten.add.Tensor, (V, N)),
    ("multiply by a vector", aten.mul.Tensor, (M, V)),
    ("divide", aten.div.Tensor, (V, N)),
    ("power", aten.pow.Tensor_Tensor, (V, V)),
    ("larger", aten.maximum.default, (V, V)),
    ("compare", aten.gt.Tensor, (V, N)),
    ("equal element by element", aten.eq.Tensor, (V, V)),
    ("and", aten.logical_and.default, (V, V)),
    ("add in place", aten.add_.Tensor, (V, V)),
    ("multiply in place", aten.mul_.Tensor, (V, N)),
    ("multiply a number in place", aten.mul_.Tensor, (N, N)),
    ("where", aten.where.self, (B, V, V)),
    ("where of a number", aten.where.self, (B, V, N)),
    ("fused multiply and add", aten.addcmul.default, (V, V, V)),
]
TOGETHER: list[tuple[str, Any, tuple[Any, ...]]] = [
    ("matrix product", aten.mm.default, ((2, 3), (3, 2))),
    ("batched product", aten.bmm.default, ((1, 2, 3), (1, 3, 2))),
    ("linear", aten.addmm.default, ((2,), (2, 3), (3, 2))),
    ("embedding", aten.embedding.default, (M, IDS)),
    ("select", lambda x, i: aten.index_select.default(x, 0, i), (M, IDS)),
    ("layer norm", lambda x, w, b: aten.native_layer_norm.default(x, [3], w, b, 1e-5), (M, V, V)),
    ("concatenate", lambda a, b: aten.cat.default([a, b]), (V, V)),
    ("stack", lambda a, b: aten.stack.default([a, b]), (V, V)),
    ("fill under a mask", lambda x, m: aten.masked_fill.Scalar(x, m, 0.0), (V, B)),
    ("scatter under a mask", aten.masked_scatter.default, (V, B, V)),
]


def make(shape: Any, device: Any) -> torch.Tensor:
    if shape == IDS:
        return torch.zeros(2, dtype=torch.int64, device=device)
    return torch.ones(3 if shape == B else shape, dtype=torch.bool if shape == B else torch.float32, device=device)


def spread(shapes: tuple[Any, ...], other: str) -> list[tuple[str, ...]]:
    """Every choice of devices in which both occur."""
    return [tuple(other if n >> k & 1 else CPU for k in range(len(shapes))) for n in range(1, 2 ** len(shapes) - 1)]


def raises_as_fake(operation: Any, shapes: Any, devices: Any) -> bool:
    with FakeTensorMode():
        tensors = [make(shape, device) for shape, device in zip(shapes, devices, strict=True)]
        try:
            operation(*tensors)
        except RuntimeError as error:
            assert "device" in str(error), error
            return True
    return False


def mixes(operation: Any, shapes: Any, devices: Any) -> bool:
    with simulate() as simulation:
        operation(*(make(shape, device) for shape, device in zip(shapes, devices, strict=True)))
    assert not simulation.undecided
    return bool(simulation.clashes)


@pytest.mark.parametrize(("operation", "shapes"), [c[1:] for c in ELEMENTWISE], ids=[c[0] for c in ELEMENTWISE])
def test_element_by_element_the_simulation_objects_where_torch_does(operation, shapes):
    for devices in spread(shapes, CARD):
        if shapes[0] == N and devices[0] == CPU:
            continue  # FakeTensor lets a number on the CPU be written to; the test below has what is known instead
        assert mixes(operation, shapes, devices) == raises_as_fake(operation, shapes, devices), devices


@pytest.mark.parametrize(("operation", "shapes"), [c[1:] for c in TOGETHER], ids=[c[0] for c in TOGETHER])
def test_what_has_to_be_together_is_objected_to_where_torch_does(operation, shapes):
    for devices in spread(shapes, CARD):
        assert raises_as_fake(operation, shapes, devices), "the table above says so"
        assert mixes(operation, shapes, devices), devices


@pytest.mark.parametrize(
    ("operation", "shapes"), [c[1:] for c in ELEMENTWISE[:10]], ids=[c[0] for c in ELEMENTWISE[:10]]
)
def test_the_real_kernels_of_the_meta_device_agree(operation, shapes):
    """meta differs from a card: adding in place takes any device, and what is no element by element checks nothing."""
    for devices in spread(shapes, "meta"):
        if operation is aten.add_.Tensor:
            continue
        tensors = [make(shape, device) for shape, device in zip(shapes, devices, strict=True)]
        try:
            operation(*tensors)
            raised = False
        except RuntimeError as error:
            assert "device" in str(error)
            raised = True
        assert mixes(operation, shapes, [CARD if d == "meta" else d for d in devices]) == raised, devices


def test_a_convolution_wants_its_weights_where_its_input_is():
    """ "Input type (torch.cuda.FloatTensor) and weight type (torch.FloatTensor) should be the same"; FakeTensor lets it."""
    for devices in ((CPU, CARD), (CARD, CPU)):
        assert mixes(torch.nn.functional.conv1d, ((1, 2, 4), (1, 2, 2)), devices)


def test_a_number_on_the_cpu_cannot_take_what_comes_from_the_card():
    """TensorIterator::compute_types: the one CPU number that a kernel on a card may read is never one of its outputs."""
    assert mixes(aten.add_.Tensor, (N, N), (CPU, CARD))
    assert not mixes(aten.add_.Tensor, (N, N), (CARD, CPU))


@pytest.mark.parametrize(
    ("devices", "objects"), [((CARD, CPU), False), ((CPU, CARD), True), ((CARD, CARD), False), ((CPU, CPU), False)]
)
def test_indices_on_the_cpu_go_into_a_tensor_on_the_card_and_not_the_other_way(devices, objects):
    """ "indices should be either on cpu or on the same device as the indexed tensor"."""
    assert mixes(lambda x, i: x[i], (M, IDS), devices) is objects
    assert mixes(lambda x, i: x.index_put_((i,), torch.tensor(0.0)), (M, IDS), devices) is objects


def test_values_put_into_a_tensor_are_on_its_device_unless_they_are_one_number():
    assert mixes(lambda x, i, v: x.index_put_((i,), v), (V, IDS, (2,)), (CARD, CPU, CPU))
    assert not mixes(lambda x, i, v: x.index_put_((i,), v), (V, IDS, N), (CARD, CPU, CPU))


@pytest.mark.parametrize("devices", [(CPU, CARD), (CARD, CPU)])
def test_copying_goes_from_any_device_to_any_other(devices):
    assert not mixes(lambda x, y: x.copy_(y), (V, V), devices)
    assert not mixes(lambda x, y: x.__setitem__(slice(0, 2), y[:2]), (V, V), devices)


def test_an_operation_whose_rule_is_not_known_is_left_undecided():
    arguments = [Argument("input", CARD, 1), Argument("window", CPU, 1)]
    assert judge("some_operation_of_tomorrow", arguments, is_pointwise=False) == ("unknown", ())
    with simulate() as simulation:
        torch.ops.aten.renorm(torch.ones(2, 2, device=CARD), 2, 0, 1.0)  # one tensor: nothing to decide
        torch.ops.aten._pdist_forward(torch.ones(2, 2, device=CARD))
        assert not simulation.undecided
        torch.ops.aten._foreach_add([torch.ones(2, device=CARD)], [torch.ones(2)])
    (undecided,) = simulation.undecided.values()
    assert undecided.operation == "_foreach_add" and "other on cpu" in undecided.reason


def test_what_is_anywhere_stands_in_nobodys_way():
    arguments = [Argument("self", CARD, 2), Argument("mat2", ANYWHERE, 2)]
    assert judge("mm", arguments, is_pointwise=False) == ("fine", ())


def test_of_two_cards_the_second_is_the_stray():
    arguments = [Argument("self", CARD, 2), Argument("mat2", "cuda:1", 2)]
    assert judge("mm", arguments, is_pointwise=False) == ("mixed", (1,))


@pytest.fixture(scope="module")
def kernels() -> dict[str, list[dict[str, Any]]]:
    """Torch's own list of functions, by the name without overload."""
    path = Path(torchgen.__file__).parent / "packaged/ATen/native/native_functions.yaml"
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: dict[str, list[dict[str, Any]]] = {}
    for entry in yaml.load(path.read_text(encoding="utf-8"), Loader=loader):  # noqa: S506 (both are safe)
        found.setdefault(entry["func"].partition("(")[0].partition(".")[0], []).append(entry)
    return found


# No kernel of their own: each is made of one that checks.
MADE_OF_STRICT = {"equal", "_stack", "stack", "block_diag"}


def test_every_strict_operation_has_a_kernel_that_checks_the_devices(kernels):
    unchecked = [
        name
        for name in STRICT - MADE_OF_STRICT
        if name in kernels and all(entry.get("device_check") == "NoCheck" for entry in kernels[name])
    ]
    assert unchecked == []
    assert {"mm", "embedding", "masked_scatter_", "cat"} <= kernels.keys()


def test_no_operation_that_torch_knows_is_written_wrongly(kernels):
    private = {"_scaled_mm", "_grouped_mm", "_scaled_grouped_mm"}  # not in every release
    assert {name for name in STRICT | set(FREE) | INDEXING if name not in kernels} <= private | {"_foreach_copy_"}
