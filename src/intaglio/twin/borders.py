"""Borders of a constant that is not zero, in place of the zeros that a convolution adds."""

from collections.abc import Iterable, Set

from torch import nn
from torch.fx import GraphModule, Node

from intaglio.twin.flat import free_name, module_of
from intaglio.twin.layers import added_by_same, matches


def pad_with(gm: GraphModule, select: str | Iterable[str], among: Set[Node], value: float) -> None:
    """A border of `value` before each selected convolution of which every call reads one of the nodes `among`."""
    calls: dict[str, list[Node]] = {}
    for node in gm.graph.nodes:
        layer = module_of(gm, node)
        if isinstance(layer, nn.Conv1d | nn.Conv2d) and matches(str(node.target), layer, select):
            calls.setdefault(str(node.target), []).append(node)
    for name, nodes in calls.items():
        layer = gm.get_submodule(name)
        assert isinstance(layer, nn.Conv1d | nn.Conv2d)
        border = _border(layer)
        if any(border) and all(node.all_input_nodes[0] in among for node in nodes):
            layer.padding = (0,) * len(border)
            for node in nodes:
                _put_pad(gm, node, f"{name}_pad", border, value)


def _border(layer: nn.Conv1d | nn.Conv2d) -> tuple[int, ...]:
    """The zeros that a convolution adds on both sides of each axis; none where they are not symmetric zeros."""
    padding = layer.padding
    if padding == "same":
        total = added_by_same(layer)
        padding = tuple(0 if any(t % 2 for t in total) else t // 2 for t in total)
    if isinstance(padding, str) or layer.padding_mode != "zeros":
        return (0,) * len(layer.kernel_size)
    return tuple(padding)


def _put_pad(gm: GraphModule, node: Node, name: str, border: tuple[int, ...], value: float) -> None:
    """A border of `value` around what a node reads; torch counts axes from the last."""
    sides = tuple(side for axis in reversed(border) for side in (axis, axis))
    pad = nn.ConstantPad1d(sides, value) if len(border) == 1 else nn.ConstantPad2d(sides, value)  # type: ignore[arg-type]
    source = node.all_input_nodes[0]
    name = free_name(gm, name)
    gm.add_submodule(name, pad)
    with gm.graph.inserting_before(node):
        padded = gm.graph.call_module(name, (source,))
    node.replace_input_with(source, padded)
