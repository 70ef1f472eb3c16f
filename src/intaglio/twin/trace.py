"""A torch module as a flat torch.fx graph in which every operation is a module."""

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.fx import GraphModule, Node

from intaglio.ir.errors import UnsupportedLayer
from intaglio.twin.grid import round_mantissa


class Add(nn.Module):
    """a + b (residual connections)."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b


class Concat(nn.Module):
    """Concatenation of several inputs along the channel axis."""

    def forward(self, *parts: Tensor) -> Tensor:
        return torch.cat(parts, 1)


class Affine(nn.Module):
    """x * gain + offset per channel, with a dyadic gain: what batch norm becomes when it cannot be merged."""

    gain: Tensor
    offset: Tensor

    def __init__(self, gain: Tensor, offset: Tensor) -> None:
        super().__init__()
        self.register_buffer("gain", gain)
        self.register_buffer("offset", offset)

    def forward(self, x: Tensor) -> Tensor:
        shape = (1, -1) + (1,) * (x.dim() - 2)
        return x * self.gain.reshape(shape) + self.offset.reshape(shape)


class SumPool(nn.Module):
    """The sum over a window times a dyadic approximation (12 bits) of 1/size: an exact average pool.

    `kernel` None takes the whole image (global average pooling). Zero padding counts towards the size.
    """

    MANTISSA = 12

    def __init__(self, kernel: tuple[int, ...] | None, stride: tuple[int, ...], padding: tuple[int, ...]) -> None:
        super().__init__()
        self.kernel, self.stride, self.padding = kernel, stride, padding

    def gain(self, size: int) -> float:
        """The dyadic factor for a window of `size` values; exactly 1/size for a power of two."""
        return float(round_mantissa(np.array([1.0 / size]), self.MANTISSA)[0])

    def forward(self, x: Tensor) -> Tensor:
        if self.kernel is None:
            axes = tuple(range(2, x.dim()))
            return x.sum(axes, keepdim=True) * self.gain(math.prod(x.shape[2:]))
        shaped = x if x.dim() == 4 else x.unsqueeze(3)
        pad = 4 - x.dim()
        kernel, stride, padding = (
            (*self.kernel, *(1,) * pad),
            (*self.stride, *(1,) * pad),
            (*self.padding, *(0,) * pad),
        )
        y = F.avg_pool2d(shaped, kernel, stride, padding, divisor_override=1) * self.gain(math.prod(kernel))
        return y if x.dim() == 4 else y.squeeze(3)


def _adaptive(x: Any, output_size: Any) -> nn.Module:
    return nn.AdaptiveAvgPool2d(output_size)


def _max_pool(kind: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    def build(
        x: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> nn.Module:
        return kind(kernel_size, stride, padding, dilation, return_indices, ceil_mode)

    return build


def _average_pool(kind: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    def build(
        x: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> nn.Module:
        return kind(kernel_size, stride, padding, ceil_mode, count_include_pad)

    return build


def _hardtanh(x: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> nn.Module:
    return nn.Hardtanh(min_val, max_val)


def _softmax(kind: Callable[[int | None], nn.Module]) -> Callable[..., nn.Module]:
    def build(x: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> nn.Module:
        return kind(dim)

    return build


def _simple(kind: Callable[[], nn.Module]) -> Callable[..., nn.Module]:
    return lambda *args, **kwargs: kind()


FUNCTIONS: dict[Any, Callable[..., nn.Module]] = {
    F.relu: _simple(nn.ReLU),
    torch.relu: _simple(nn.ReLU),
    "relu": _simple(nn.ReLU),
    "relu_": _simple(nn.ReLU),
    F.relu6: _simple(nn.ReLU6),
    F.hardtanh: _hardtanh,
    F.max_pool1d: _max_pool(nn.MaxPool1d),
    torch.max_pool1d: _max_pool(nn.MaxPool1d),
    F.max_pool2d: _max_pool(nn.MaxPool2d),
    torch.max_pool2d: _max_pool(nn.MaxPool2d),
    F.avg_pool1d: _average_pool(nn.AvgPool1d),
    F.avg_pool2d: _average_pool(nn.AvgPool2d),
    F.adaptive_avg_pool2d: _adaptive,
    F.dropout: _simple(nn.Identity),
    "contiguous": _simple(nn.Identity),
    F.softmax: _softmax(nn.Softmax),
    F.log_softmax: _softmax(nn.LogSoftmax),
    torch.softmax: _softmax(nn.Softmax),
    torch.log_softmax: _softmax(nn.LogSoftmax),
    "softmax": _softmax(nn.Softmax),
    "log_softmax": _softmax(nn.LogSoftmax),
}
"""Functional forms and the modules that replace them."""

ADDITIONS = (operator.add, operator.iadd, torch.add, "add", "add_")
RESHAPES = (torch.flatten, "flatten", torch.reshape, "reshape", "view")


class _Tracer(fx.Tracer):
    """Stops at torch's layers and at our own modules, looks into everything else."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        del module_qualified_name
        home = type(m).__module__
        if isinstance(m, nn.Sequential | nn.ModuleList | GraphModule):
            return False
        return home.startswith(("torch.nn.", "torch.ao.", "intaglio.twin.", "intaglio.methods."))


def trace(model: nn.Module) -> GraphModule:
    """A flat GraphModule that shares the submodules of `model` under the same names.

    Functional forms (F.relu, +, torch.cat, ...) become modules named after their place, so that later steps
    see only modules, reshapes and sizes. The forward pass is recorded in evaluation mode.

    Raises:
        UnsupportedLayer: the forward pass depends on data, or uses an operation without a rule.
    """
    if isinstance(model, GraphModule):
        return model
    training = model.training
    model.eval()
    try:
        graph = _Tracer().trace(model)
    except Exception as error:
        raise UnsupportedLayer(
            f"{type(model).__name__}: the forward pass cannot be recorded ({error}); a branch or a loop "
            "that depends "
            f"on tensor values has no fixed hardware: make it a constant, or split the network"
        ) from error
    finally:
        model.train(training)
    module = GraphModule(model, graph, type(model).__name__)
    _modularise(module)
    module.train(training)
    return module


def _modularise(module: GraphModule) -> None:
    """Replace functional operations in place."""
    for node in list(module.graph.nodes):
        if node.op not in ("call_function", "call_method"):
            continue
        replacement = _replacement(node)
        if replacement is not None:
            made, arguments = replacement
            insert_module(module, node, node.name, made, arguments)
    module.graph.lint()
    module.recompile()


def _replacement(node: Node) -> tuple[nn.Module, tuple[Any, ...]] | None:
    """The module for a functional node and its tensor arguments; None to leave the node."""
    if node.target in ADDITIONS:
        operands = node.args[:2]
        if len(operands) == 2 and all(_tensor(item) for item in operands) and not node.kwargs:
            return Add(), operands
        return None
    if node.target in (torch.cat, torch.concat):
        dim = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
        if dim != 1:
            raise UnsupportedLayer(f"{node.name}: concatenation along axis {dim}; only the channel axis 1 is supported")
        return Concat(), tuple(node.args[0])  # type: ignore[arg-type]
    if node.target in FUNCTIONS:
        try:
            return FUNCTIONS[node.target](*node.args, **node.kwargs), (node.args or (node.kwargs["input"],))[:1]
        except TypeError as error:
            raise UnsupportedLayer(f"{node.name}: {error}") from error
    return None


def _tensor(item: Any) -> bool:
    """Whether an argument may be an activation (sizes are call_method size or getattr)."""
    return isinstance(item, Node) and item.op != "get_attr" and item.target not in ("size", getattr, operator.getitem)


def insert_module(module: GraphModule, node: Node, name: str, made: nn.Module, arguments: tuple[Any, ...]) -> Node:
    """Put a module call in place of `node`, under a free name close to `name`."""
    name = free_name(module, name)
    module.add_submodule(name, made)
    with module.graph.inserting_before(node):
        new = module.graph.call_module(name, arguments)
    node.replace_all_uses_with(new)
    module.graph.erase_node(node)
    return new


def insert_after(module: GraphModule, node: Node, name: str, made: nn.Module) -> Node:
    """Put a module between `node` and all its users."""
    name = free_name(module, name)
    module.add_submodule(name, made)
    with module.graph.inserting_after(node):
        new = module.graph.call_module(name, (node,))
    node.replace_all_uses_with(new, delete_user_cb=lambda user: user is not new)
    return new


def free_name(module: nn.Module, name: str) -> str:
    """`name`, with a number added if the module already has such an attribute."""
    name = name.replace(".", "_")
    number = 0
    while hasattr(module, name if not number else f"{name}_{number}"):
        number += 1
    return name if not number else f"{name}_{number}"


def module_of(gm: GraphModule, node: Node) -> nn.Module | None:
    """The module that a node calls; None for anything else."""
    return gm.get_submodule(str(node.target)) if node.op == "call_module" else None


def is_reshape(node: Node) -> bool:
    """Whether a node only reshapes a tensor."""
    return node.op in ("call_function", "call_method") and node.target in RESHAPES
