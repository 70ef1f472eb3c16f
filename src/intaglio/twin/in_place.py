"""Operations that change a tensor in place become ones that give a new tensor, with the same results.

After `y = relu_(x)` every later reader of x sees y: it is given y. Where what is read later is another view of
the memory that was changed, the network is refused.
"""

import inspect
import operator
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from intaglio.ir.errors import UnsupportedLayer
from intaglio.twin.flat import module_of
from intaglio.twin.source import form, place
from intaglio.twin.source import written as as_written

SIZES = {"size", "dim", "ndimension", "numel", "stride", "nelement", "is_floating_point"}
_SAME = {"detach", "contiguous", "to", "float", "double", "half", "type", "type_as", "cpu", "requires_grad_", "data"}
_VIEWS = _SAME | {
    "view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "transpose", "swapaxes", "swapdims", "permute",
    "movedim", "moveaxis", "t", "T", "mT", "expand", "expand_as", "view_as", "reshape_as", "narrow", "select", "chunk",
    "split", "tensor_split", "unbind", "diagonal", "getitem", "adjoint", "broadcast_to", "real", "ravel", "dropout",
    "unfold", "hsplit", "vsplit", "dsplit", "atleast_1d", "atleast_2d", "atleast_3d", "squeeze_", "unsqueeze_",
}  # fmt: skip
"""Operations whose result may share memory with what they read; those of `_SAME` are it as a whole."""

_WRITTEN = "intaglio_written"
_PASS = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
_RESHAPE = (nn.Flatten, nn.Unflatten)
_PLAIN = {getattr(operator, f"i{name}"): getattr(operator, name)
          for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul")}  # fmt: skip
_PLAIN |= {operator.iand: operator.and_, operator.ior: operator.or_, operator.ixor: operator.xor}


def by_value(gm: GraphModule) -> None:
    """Make every operation of a recorded network one that gives a new tensor.

    Raises:
        UnsupportedLayer: a tensor that shares memory with a changed one is read later, or `out=` is given.
    """
    numbers: set[Node] = set()
    order = {node: number for number, node in enumerate(gm.graph.nodes)}
    shared: dict[Node, list[Node]] = {}  # nodes that may share memory, the same list for all of them
    for node in gm.graph.nodes:
        if is_number(node, numbers):
            numbers.add(node)
            node.target = _PLAIN.get(node.target, node.target)
            continue
        written = _written(gm, node)
        source = written or _viewed(gm, node)
        shared[node] = group = shared.get(source, []) if source is not None else []
        if written is not None:
            _redirect(gm, node, written, group, order)
            node.meta[_WRITTEN] = written
        group.append(node)
        _make_plain(node)
    for module in gm.modules():  # afterwards: one that is called twice changes its input twice
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]


def is_number(node: Node, numbers: set[Node]) -> bool:
    """Whether a node is a size, or computed from sizes (`numbers`) alone."""
    if node.op == "call_method" and node.target in SIZES:
        return True
    if node.target is getattr and node.args[1] in ("shape", "ndim", "dtype", "device"):
        return True
    home = getattr(node.target, "__module__", None)
    counts = node.op == "call_function" and home in ("_operator", "builtins", "math")
    return counts and all(source in numbers for source in node.all_input_nodes)


def _name(node: Node) -> str:
    """The plain name of a function, method or attribute."""
    if node.target is getattr:
        return str(node.args[1])
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")


def _source(node: Node) -> Node | None:
    """The tensor that an operation is a method of."""
    first = node.args[0] if node.args else node.kwargs.get("input")
    return first if isinstance(first, Node) else None


def _written(gm: GraphModule, node: Node) -> Node | None:
    """The node whose tensor an operation changes."""
    if node.kwargs.get("out") is not None:
        raise UnsupportedLayer(f"{as_written(node)}: out= writes into a tensor; leave it out and use the result")
    if node.op == "call_module":
        module = module_of(gm, node)
        changes = getattr(module, "inplace", False) and not isinstance(module, _PASS)
        return _source(node) if changes else None
    if node.op not in ("call_function", "call_method"):
        return None
    name = _name(node)
    ends = name.endswith("_") and not name.endswith("__") and name not in ("requires_grad_", "and_", "or_")
    return _source(node) if ends or node.target in _PLAIN or _flag(node) else None


def _flag(node: Node) -> bool:
    """Whether a function of torch is called with inplace=True."""
    if node.op != "call_function" or node.target in (F.dropout, F.dropout2d, F.alpha_dropout):
        return False
    if "inplace" in node.kwargs:
        return bool(node.kwargs["inplace"])
    try:
        given = inspect.signature(node.target).bind(*node.args, **node.kwargs)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return bool(given.arguments.get("inplace", False))


def _viewed(gm: GraphModule, node: Node) -> Node | None:
    """The node whose memory the result of an operation may share."""
    if node.op == "call_module":
        return _source(node) if isinstance(module_of(gm, node), (*_PASS, *_RESHAPE)) else None
    return _source(node) if node.op in ("call_function", "call_method") and _name(node) in _VIEWS else None


def _redirect(gm: GraphModule, node: Node, written: Node, group: list[Node], order: dict[Node, int]) -> None:
    """Give every later reader of the changed tensor its new value."""
    if written.op == "get_attr":
        raise UnsupportedLayer(
            f"{place(gm, node)}: changes {written.target} in each call, and a network must be a fixed function; "
            f"leave it out"
        )
    for member in group:
        later = [user for user in member.users if order[user] > order[node]]
        if later and _whole(gm, member) is not _whole(gm, written):
            raise UnsupportedLayer(
                f"{place(gm, node)}: changes the result of {form(written)} in place, and {form(later[0])} reads "
                f"another view of the same memory, of {form(member)}; give it a new tensor (inplace=False, x = x + y)"
            )
        for user in later:
            user.replace_input_with(member, node)


def _whole(gm: GraphModule, node: Node) -> Node:
    """The first node that is the same tensor: through identities, and operations that changed it in place."""
    while True:
        same = node.op == "call_module" and isinstance(module_of(gm, node), _PASS)
        same = same or (node.op in ("call_function", "call_method") and _name(node) in ("detach", "data", "dropout"))
        before = _source(node) if same else node.meta.get(_WRITTEN)
        if before is None:
            return node
        node = before


def _make_plain(node: Node) -> None:
    """The function or method that gives a new tensor, in place of the one that changes its input."""
    target: Any = node.target
    name = _name(node).rstrip("_")
    if target in _PLAIN:
        node.target = _PLAIN[target]
    elif _WRITTEN in node.meta and node.op == "call_method":
        node.target = name if hasattr(Tensor, name) else _no_plain_form(node)
    elif _WRITTEN in node.meta and node.op == "call_function":
        home = next((m for m in (F, torch) if hasattr(m, name)), None) or _no_plain_form(node)
        node.target = getattr(home, name) if _name(node).endswith("_") else target
        node.kwargs = {key: value for key, value in node.kwargs.items() if key != "inplace"}


def _no_plain_form(node: Node) -> NoReturn:
    raise UnsupportedLayer(f"{as_written(node)}: {_name(node)} changes a tensor in place; give it a new tensor")
