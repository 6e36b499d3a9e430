"""Running real model code at full size without its weights: tensors that have shapes, strides and dtypes, but no numbers.

Weights and whatever is computed from them are weightless. Ids, masks, grids and other whole numbers stay real, so that code
which looks at them (a mask that places features, a loop over pages) does what it will do in training. Where such code
looks at a number that only the weights could tell, it gets a stand-in: a router's choices are spread evenly over the
experts, a question such as "is anything infinite" is answered with no. `Assumed` says which were needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn

from preflight_ocr.harness.training.quantising import list_quantised, measure_packed

REAL_ELEMENTS = 1 << 24
"""Whole numbers and masks of more elements than this are weightless too: a mask of every pair of patches has billions."""

_SPREAD = {"topk", "sort", "argsort", "argmax", "argmin", "max", "min", "multinomial", "kthvalue"}
_INDEXED = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put"}
_COUNTED_BY_VALUE = {"nonzero", "masked_select", "unique", "unique_dim", "_unique2", "unique_consecutive", "bincount"}
_MADE_FROM_SIZE = {"zeros", "ones", "empty", "full", "rand", "randn", "new_zeros", "new_ones", "new_empty", "new_full"}


ASKED = "a number of the model's own was asked for and taken as 1, an answer as no"


class NoNumbers(RuntimeError):
    """The code asks for something that only the weights could tell and that no stand-in fits. The message names it."""


class Weightless(torch.Tensor):
    """A tensor on the CPU, as far as anybody can see, that has no numbers. `weightless` is the meta tensor behind it."""

    weightless: torch.Tensor

    @staticmethod
    def __new__(cls, meta: torch.Tensor) -> Weightless:
        made: Weightless = torch.Tensor._make_wrapper_subclass(
            cls,
            meta.size(),
            strides=meta.stride(),
            storage_offset=meta.storage_offset(),
            dtype=meta.dtype,
            device=torch.device("cpu"),
        )
        made.weightless = meta
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return execute(func, args, kwargs or {}, set())

    def __repr__(self, *, tensor_contents: object = None) -> str:  # type: ignore[override]
        return f"Weightless({tuple(self.shape)}, {self.dtype})"


@contextmanager
def without_weights(model: nn.Module) -> Iterator[nn.Module]:
    """The model with weightless parameters inside the block, its own again after it. A tied weight stays one weight.

    Layers with packed weights hold as many bytes as on a card, and unpack them for the length of each product.
    """
    made: dict[int, nn.Parameter] = {}
    before: list[tuple[nn.Module, str, nn.Parameter]] = []
    packed = list(list_quantised(model).values())
    for module in packed:
        size = measure_packed(module).bytes
        made[id(module.weight)] = nn.Parameter(
            Weightless(torch.empty(size, dtype=torch.uint8, device="meta")), requires_grad=False
        )
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is None:
                continue
            before.append((module, name, parameter))
            if id(parameter) not in made:
                meta = torch.empty_strided(parameter.size(), parameter.stride(), dtype=parameter.dtype, device="meta")
                made[id(parameter)] = nn.Parameter(Weightless(meta), requires_grad=parameter.requires_grad)
    try:
        for module, name, parameter in before:
            module._parameters[name] = made[id(parameter)]
        for module in packed:
            module.forward = partial(_multiply_packed, module)
        yield model
    finally:
        for module in packed:
            vars(module).pop("forward", None)
        for module, name, parameter in before:
            module._parameters[name] = parameter


def _multiply_packed(layer: Any, x: torch.Tensor) -> torch.Tensor:
    """What a layer with a packed weight does, on shapes alone."""
    shape = (int(layer.out_features), int(layer.in_features))
    asked = getattr(layer, "compute_dtype", None)
    given = x if asked is None else x.to(asked)
    product: torch.Tensor = _PackedProduct.apply(given, shape)  # type: ignore[no-untyped-call]
    if layer.bias is not None:
        product = product + layer.bias.to(product.dtype)
    return product.to(x.dtype)


class _PackedProduct(torch.autograd.Function):
    """A product with a weight that is unpacked for it, and again in backward; between the two nothing of it is kept."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        ctx.shape = shape
        return x @ x.new_empty(shape).t()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (gradient,) = gradients
        return gradient @ gradient.new_empty(ctx.shape), None


def find_storage(tensor: torch.Tensor) -> torch.UntypedStorage:
    """What holds the numbers, or would hold them."""
    return (tensor.weightless if isinstance(tensor, Weightless) else tensor).untyped_storage()


class _Traits(NamedTuple):
    """What an operation does, from its schema. `pure`: its results are new and follow from the shapes it is given.
    `in_place`: it writes into its first argument and returns that."""

    name: str
    pure: bool
    in_place: bool


_TRAITS: dict[Any, _Traits] = {}
_KNOWN: dict[
    Any, Any
] = {}  # operation and shapes -> shapes of the results; a model asks for the same thousands of times


def execute(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], assumed: set[str]) -> Any:
    """Run one operation on what is weightless and what is real; `assumed` gets the stand-ins that were needed.

    Raises NoNumbers where the shape of the result depends on numbers that are not there.
    """
    traits = _TRAITS.get(func) or _read_traits(func)
    name = traits.name
    inputs: list[torch.Tensor] = []
    _collect(args, inputs)
    if kwargs:
        _collect(tuple(kwargs.values()), inputs)
    if not any(isinstance(t, Weightless) for t in inputs):
        if not _would_be_huge(func, name, inputs, args):
            return func(*args, **kwargs)
        kwargs = {**kwargs, "device": "meta"} if "device" in kwargs or not inputs else kwargs
    if name == "_local_scalar_dense":
        return _answer(func, inputs[0], assumed)
    if name == "equal":
        assumed.add("two results were compared and taken as different")
        return False
    if name in _COUNTED_BY_VALUE:
        return _count_by_value(func, name, args, kwargs)
    if traits.in_place:
        return args[0]
    if name in _INDEXED:
        args = _with_places(args)
    key = (func, _sign(args), _sign(tuple(kwargs.items()))) if traits.pure else None
    owners: dict[int, torch.Tensor] = {}
    if key is not None and key in _KNOWN:
        return _wrap(_make(_KNOWN[key]), owners, name, args, assumed)
    given = _to_meta(args, owners)
    named = {key: _to_meta(value, owners) for key, value in kwargs.items()}
    if named.get("device") is not None:
        named["device"] = torch.device("meta")
    result = _call(func, name, given, named)
    if key is not None and not _shares_storage(result, given):
        _KNOWN[key] = _note_shapes(result)
    return _wrap(result, owners, name, args, assumed)


def _answer(func: Any, asked: torch.Tensor, assumed: set[str]) -> float | bool:
    if not asked.is_floating_point() and asked.dtype != torch.bool:
        raise NoNumbers(f"{func} asks for a whole number that is computed from the weights")
    assumed.add(ASKED)
    return 1.0 if asked.is_floating_point() else False


def _read_traits(func: Any) -> _Traits:
    schema = func._schema
    aliases = [*(a.alias_info for a in schema.arguments), *(r.alias_info for r in schema.returns)]
    pure = not any(aliases) and torch.Tag.nondeterministic_seeded not in func.tags
    first = schema.arguments[0].alias_info if schema.arguments else None
    written = bool(first and first.is_write and len(schema.returns) == 1 and schema.returns[0].alias_info)
    in_place = written and torch.Tag.inplace_view not in func.tags and not schema.name.endswith(("resize_", "set_"))
    traits = _Traits(func.overloadpacket.__name__, pure, in_place)
    _TRAITS[func] = traits
    return traits


def _sign(values: Any) -> Any:
    """What the shapes of the results can depend on."""
    signed: list[Any] = []
    for value in values:
        if isinstance(value, torch.Tensor):
            signed.append((value.shape, value.stride(), value.dtype))
        elif isinstance(value, list | tuple):
            signed.append(_sign(value))
        else:
            signed.append((type(value), value))
    return tuple(signed)


def _note_shapes(result: Any) -> Any:
    if isinstance(result, list | tuple):
        return (type(result), [_note_shapes(value) for value in result])
    if isinstance(result, torch.Tensor):
        return (result.size(), result.stride(), result.dtype)
    return result


def _shares_storage(result: Any, given: tuple[Any, ...]) -> bool:
    """A few operations give back a view without saying so in their schema."""
    results: list[torch.Tensor] = []
    inputs: list[torch.Tensor] = []
    _collect([result], results)
    _collect(given, inputs)
    theirs = {t.untyped_storage()._cdata for t in inputs}
    return any(t.untyped_storage()._cdata in theirs for t in results)


def _make(known: Any) -> Any:
    if isinstance(known, tuple) and len(known) == 3:
        return torch.empty_strided(known[0], known[1], dtype=known[2], device="meta")
    if isinstance(known, tuple):
        return known[0](_make(value) for value in known[1])
    return known


def _call(func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """On the meta device, where one operation takes bfloat16 only and a CPU takes more."""
    if name != "_grouped_mm" or args[0].dtype == torch.bfloat16:
        return func(*args, **kwargs)
    halves = [torch.empty_strided(t.size(), t.stride(), dtype=torch.bfloat16, device="meta") for t in args[:2]]
    shape = func(*halves, *args[2:], **kwargs)
    return torch.empty_strided(shape.size(), shape.stride(), dtype=args[0].dtype, device="meta")


def _collect(values: Any, found: list[torch.Tensor]) -> None:
    for value in values:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            _collect(value, found)


def _to_meta(value: Any, owners: dict[int, torch.Tensor]) -> Any:
    """The meta tensors behind the arguments; `owners` says whose each is, for what is written in place."""
    if isinstance(value, Weightless):
        owners[id(value.weightless)] = value
        return value.weightless
    if isinstance(value, torch.Tensor):
        meta = torch.empty_strided(value.size(), value.stride(), dtype=value.dtype, device="meta")
        owners[id(meta)] = value
        return meta
    if isinstance(value, list | tuple):
        return type(value)([_to_meta(v, owners) for v in value])
    return value


def _with_places(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """A mask used as an index, as the places where it is true: their number is the shape of the result."""
    places: list[Any] = []
    for index in args[1]:
        if not isinstance(index, torch.Tensor) or index.dtype not in (torch.bool, torch.uint8):
            places.append(index)
        elif isinstance(index, Weightless):
            raise NoNumbers("an index is a mask that is computed from the weights")
        else:
            places += index.nonzero().unbind(1)
    return (args[0], places, *args[2:])


def _count_by_value(func: Any, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    if name == "masked_select" and not isinstance(args[1], Weightless):
        count = int(args[1].expand(_broadcast(args[0], args[1])).sum())
        return Weightless(torch.empty(count, dtype=args[0].dtype, device="meta"))
    raise NoNumbers(f"{func} counts something that is computed from the weights")


def _would_be_huge(func: Any, name: str, inputs: list[torch.Tensor], args: tuple[Any, ...]) -> bool:
    """Whether an operation on real tensors alone would give more than anyone wants to hold."""
    if name in _MADE_FROM_SIZE:
        size = args[1] if name.startswith("new_") else args[0]
        return _multiply(size) > REAL_ELEMENTS
    if torch.Tag.pointwise not in func.tags or _multiply(t.numel() for t in inputs) <= REAL_ELEMENTS:
        return False
    return _multiply(_broadcast(*inputs)) > REAL_ELEMENTS


def _broadcast(*tensors: torch.Tensor) -> torch.Size:
    shape: torch.Size = torch.broadcast_shapes(*(t.shape for t in tensors))  # type: ignore[no-untyped-call]
    return shape


def _multiply(sizes: Any) -> int:
    total = 1
    for size in sizes:
        total *= int(size)
    return total


def _wrap(result: Any, owners: Mapping[int, torch.Tensor], name: str, args: tuple[Any, ...], assumed: set[str]) -> Any:
    if isinstance(result, list | tuple):
        return type(result)([_wrap(value, owners, name, args, assumed) for value in result])
    if not isinstance(result, torch.Tensor):
        return result
    owner = owners.get(id(result))
    if owner is not None:
        return owner  # written in place; where the tensor is a real one, its numbers stand for nothing from now on
    if name in _SPREAD and result.dtype == torch.int64 and result.numel() <= REAL_ELEMENTS:
        assumed.add("what the weights choose (experts of a router, places of a maximum) is spread evenly")
        return _spread(result, args)
    return Weightless(result)


def _spread(result: torch.Tensor, args: tuple[Any, ...]) -> torch.Tensor:
    """Indices [..., k] that meet every one of the choices equally often; a row never names one twice."""
    source = args[0]
    length = max(int(max(source.shape, default=1)) if source.dim() == 0 else int(source.shape[-1]), 1)
    return (torch.arange(result.numel()) % length).reshape(result.shape)
