"""Functional forms (F.relu, +, torch.cat, ...) and the modules that stand for them in a traced network."""

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.fx import Node

from intaglio.twin import replacements as use
from intaglio.twin.modules import Add, Always, ArgMax, Concat
from intaglio.twin.refuse import refuse_form


def _adaptive(kind: Callable[[Any], nn.Module]) -> Callable[..., nn.Module]:
    def build(x: Any, output_size: Any) -> nn.Module:
        return kind(output_size)

    return build


def _argmax(x: Any, dim: Any = None, keepdim: bool = False) -> nn.Module:
    return ArgMax(dim, keepdim)


def _shuffle(x: Any, groups: int) -> nn.Module:
    return nn.ChannelShuffle(groups)


def _dropout(x: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> nn.Module:
    return Always() if training and p else nn.Dropout(p)


def _pad(x: Any, pad: Any, mode: str = "constant", value: float | None = None) -> nn.Module:
    """The pad of one or two axes, by the length of `pad`."""
    kinds: dict[tuple[int, str], Callable[..., nn.Module]] = {
        (2, "constant"): nn.ConstantPad1d, (4, "constant"): nn.ConstantPad2d,
        (2, "reflect"): nn.ReflectionPad1d, (4, "reflect"): nn.ReflectionPad2d,
        (2, "replicate"): nn.ReplicationPad1d, (4, "replicate"): nn.ReplicationPad2d,
        (2, "circular"): nn.CircularPad1d, (4, "circular"): nn.CircularPad2d,
    }  # fmt: skip
    kind = kinds.get((len(pad), mode))
    if kind is None:
        raise TypeError(f"pads {len(pad)} sides")
    return kind(tuple(pad), float(value or 0)) if mode == "constant" else kind(tuple(pad))


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
        **divisor: Any,
    ) -> nn.Module:
        return kind(kernel_size, stride, padding, ceil_mode, count_include_pad, **divisor)

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
    F.relu6: _simple(nn.ReLU6),
    F.hardtanh: _hardtanh,
    F.max_pool1d: _max_pool(nn.MaxPool1d),
    torch.max_pool1d: _max_pool(nn.MaxPool1d),
    F.max_pool2d: _max_pool(nn.MaxPool2d),
    torch.max_pool2d: _max_pool(nn.MaxPool2d),
    F.avg_pool1d: _average_pool(nn.AvgPool1d),
    F.avg_pool2d: _average_pool(nn.AvgPool2d),
    F.adaptive_avg_pool1d: _adaptive(nn.AdaptiveAvgPool1d),
    torch.adaptive_avg_pool1d: _adaptive(nn.AdaptiveAvgPool1d),
    F.adaptive_avg_pool2d: _adaptive(nn.AdaptiveAvgPool2d),
    F.dropout: _dropout,
    F.dropout1d: _dropout,
    F.dropout2d: _dropout,
    F.alpha_dropout: _dropout,
    F.pad: _pad,
    F.channel_shuffle: _shuffle,
    torch.channel_shuffle: _shuffle,
    torch.argmax: _argmax,
    "argmax": _argmax,
    F.softmax: _softmax(nn.Softmax),
    F.log_softmax: _softmax(nn.LogSoftmax),
    torch.softmax: _softmax(nn.Softmax),
    torch.log_softmax: _softmax(nn.LogSoftmax),
    "softmax": _softmax(nn.Softmax),
    "log_softmax": _softmax(nn.LogSoftmax),
}
"""Functional forms and the modules that replace them."""

CONCATENATIONS = (torch.cat, torch.concat, torch.concatenate)
ADDITIONS = (operator.add, torch.add, "add")


def replacement(node: Node) -> tuple[nn.Module, tuple[Any, ...]] | None:
    """The module for a functional node and its tensor arguments; None to leave the node.

    Raises:
        UnsupportedLayer: the form has arguments that the module has no integer form for.
    """
    if node.target in ADDITIONS:
        return _addition(node)
    if node.target in CONCATENATIONS:
        return _concatenation(node)
    if node.target not in FUNCTIONS:
        return None
    named = dict(node.kwargs)
    first, *rest = node.args or (named.pop("input"),)
    if any(isinstance(item, Node) for item in [*rest, *named.values()]):
        raise refuse_form(node, "takes a size that is computed in the forward pass", use.WHOLE)
    try:
        return FUNCTIONS[node.target](first, *rest, **named), (first,)
    except TypeError as error:
        raise refuse_form(node, "has arguments without an integer form", use.PLAIN) from error


def _addition(node: Node) -> tuple[nn.Module, tuple[Any, ...]] | None:
    """Add for two tensors; Identity for a tensor and the zero with which Python's sum begins."""
    operands = node.args[:2]
    if len(operands) != 2 or node.kwargs:
        return None
    tensors = tuple(item for item in operands if _tensor(item))
    if len(tensors) == 1 and any(isinstance(item, int | float) and item == 0 for item in operands):
        return nn.Identity(), tensors
    return (Add(), operands) if len(tensors) == 2 else None


def _concatenation(node: Node) -> tuple[nn.Module, tuple[Any, ...]] | None:
    named = dict(node.kwargs)
    parts, *rest = node.args or (named.pop("tensors"),)
    dim = rest[0] if rest else named.get("dim", named.get("axis", 0))
    if dim != 1:
        raise refuse_form(node, f"joins along axis {dim}; only the channels, axis 1, can be joined", use.JOIN)
    return (Concat(), tuple(parts)) if isinstance(parts, tuple | list) else None


def _tensor(item: Any) -> bool:
    """Whether an argument may be an activation (sizes are call_method size or getattr)."""
    return isinstance(item, Node) and item.op != "get_attr" and item.target not in ("size", getattr, operator.getitem)
