"""One form for each operation of a recorded network: positional inputs, no identities, views that always work."""

import inspect

import torch
from torch.fx import GraphModule, Node

from intaglio.ir.errors import UnsupportedLayer
from intaglio.twin.flat import module_of, sizes_of
from intaglio.twin.source import place, written

_IDENTITIES = {"contiguous", "clone", "detach", "cpu", "cuda", "requires_grad_", "to", "type", "type_as"} | {
    str(kind).removeprefix("torch.") for kind in (torch.float32, torch.float64, torch.float16, torch.bfloat16)
}
_IDENTITIES |= {"float", "double", "half"}
"""Methods that give the same values, unless they make whole numbers of them."""


def normalise(gm: GraphModule) -> None:
    """Bring every node into its one form.

    Raises:
        UnsupportedLayer: a module is called with keywords that it takes by name only, or a batch size is fixed.
    """
    for node in list(gm.graph.nodes):
        if node.op == "call_module":
            _bind(gm, node)
        elif node.op in ("call_function", "call_method"):
            _first(node)
            _free_view(node)
            if _is_identity(node):
                node.replace_all_uses_with(node.args[0])  # type: ignore[arg-type]
                gm.graph.erase_node(node)


def _bind(gm: GraphModule, node: Node) -> None:
    """self.layer(input=x) becomes self.layer(x)."""
    if not node.kwargs:
        return
    layer = module_of(gm, node)
    assert layer is not None
    given = inspect.signature(layer.forward).bind(*node.args, **node.kwargs)
    if given.kwargs:
        names = ", ".join(given.kwargs)
        raise UnsupportedLayer(f"{place(gm, node)}: takes {names} by name only; let it take one tensor by place")
    node.args, node.kwargs = given.args, {}


def _first(node: Node) -> None:
    """The tensors of a function of torch by place: F.relu(input=x), torch.cat(tensors=(x, y), dim=1)."""
    for key in ("input", "tensors", "tensor", "other"):
        if key in node.kwargs and len(node.args) == (key == "other"):
            node.args = (*node.args, node.kwargs[key])
            node.kwargs = {name: value for name, value in node.kwargs.items() if name != key}


def _free_view(node: Node) -> None:
    """A view as a reshape, which needs no particular layout in memory; its first size must not be a constant."""
    sizes = sizes_of(node)
    if not sizes or isinstance(sizes[0], torch.dtype):
        return
    if isinstance(sizes[0], int) and sizes[0] > 0:
        raise UnsupportedLayer(
            f"{written(node)}: fixes the batch size to {sizes[0]}, and hardware takes one sample after the other; "
            f"write x.reshape(x.size(0), ...), or flatten(1)"
        )
    node.target = "reshape" if node.target == "view" else node.target


def _is_identity(node: Node) -> bool:
    """Whether a node gives the values that it reads, in perhaps another place, layout or precision."""
    if node.target is getattr and node.args[1] == "data":
        return True
    if node.target not in (torch.clone, torch.detach) and not (node.op == "call_method" and node.target in _IDENTITIES):
        return False
    kinds = [item for item in (*node.args[1:], *node.kwargs.values()) if isinstance(item, torch.dtype)]
    return all(kind.is_floating_point for kind in kinds)
