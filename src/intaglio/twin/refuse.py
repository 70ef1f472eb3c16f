"""Refusing what has no integer form: which operation, on which line of the program, why, and what to write instead."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.fx import GraphModule, Node
from torch.nn.modules.lazy import LazyModuleMixin

from intaglio.ir.errors import IntaglioError, UnsupportedLayer
from intaglio.twin.flat import is_reshape, module_of
from intaglio.twin.modules import ArgMax
from intaglio.twin.replacements import ONCE, PARTS, RESULTS, UNREAD, Call, Remedy
from intaglio.twin.source import form, place, written
from intaglio.twin.supported import ANYTHING_ELSE, row_of, row_of_form

_PASSING = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.Softmax, nn.LogSoftmax, ArgMax)
NO_CALL = Call(None, ())
"""Where neither layer nor shapes are known."""

_CONSTANTS = "reads a parameter or a buffer in place of data"
_NO_FORM = "has no integer form"

Shapes = Mapping[Node, tuple[int, ...]]
"""Shape of the activation that each node gives, batch first."""


def refusal(where: str, problem: str, remedy: Remedy, call: Call = NO_CALL) -> UnsupportedLayer:
    """The error that names the place, the problem, the remedy, and the remedy's code for this case."""
    return UnsupportedLayer(f"{where}: {problem}; {remedy.words}: `{remedy.code(call)}`")


def require_layer(gm: GraphModule, node: Node, shapes: Shapes) -> None:
    """Raise UnsupportedLayer where the table of supported layers knows that a module call has no integer form."""
    layer = module_of(gm, node)
    if layer is not None and type(layer).forward is nn.Module.forward:
        raise refusal(place(gm, node), "has no forward pass", PARTS)
    row = None if layer is None else row_of(type(layer))
    if layer is None or row is None:
        return
    shape, *others = [shapes[source][1:] for source in node.all_input_nodes if source in shapes] or [()]
    call = Call(layer, shape, others=tuple(others), last=leaves(gm, node), pooled=_pooled(gm, node, layer, shapes))
    if row.remedy is not None:
        raise refusal(place(gm, node), _NO_FORM, row.remedy, call)
    for restriction in row.restrictions:
        if restriction.broken(call):
            raise refusal(place(gm, node), restriction.problem, restriction.remedy, call)


def require_form(gm: GraphModule, node: Node, shapes: Shapes, result: tuple[int, ...]) -> None:
    """Raise UnsupportedLayer for an operation on activations that is no module: none but reshapes has an integer form.

    `shapes` holds activations alone; `result` is the shape of the first tensor that it gives.
    """
    reads = [source for source in node.all_input_nodes if source in shapes]
    if is_reshape(node) or not reads:
        return
    row = row_of_form(form(node), len(reads))
    call = Call(None, _shape(node, shapes), result[1:], (tuple(node.args[1:]), dict(node.kwargs)))
    raise refusal(place(gm, node), _NO_FORM, ANYTHING_ELSE if row is None or row.remedy is None else row.remedy, call)


def refuse_form(node: Node, problem: str, remedy: Remedy) -> UnsupportedLayer:
    """The error for a functional form whose arguments have no integer form, before any shape is known."""
    return refusal(written(node), problem, remedy)


def require_data(gm: GraphModule, node: Node, constants: set[Node]) -> None:
    """Raise UnsupportedLayer for a layer that reads a parameter of the network in place of an activation."""
    if any(source in constants for source in node.all_input_nodes):
        raise refusal(place(gm, node), _CONSTANTS, ANYTHING_ELSE)


def require_sizes(model: nn.Module) -> None:
    """Raise UnsupportedLayer for a lazy layer whose sizes are not known yet."""
    for name, module in model.named_modules():
        if isinstance(module, LazyModuleMixin) and module.has_uninitialized_params():  # type: ignore[arg-type]
            raise refusal(f"{name} ({type(module).__name__})", "its sizes are not known yet", ONCE)


def require_streams(gm: GraphModule) -> None:
    """Raise UnsupportedLayer for a network that leaves an input unread, or returns nothing or a dictionary."""
    if not results(next(node for node in gm.graph.nodes if node.op == "output")):
        raise refusal("the network", "returns no tensors", RESULTS)
    for node in gm.graph.nodes:
        if node.op == "placeholder" and not node.users:
            raise refusal("the network", f"does not read its input {node.target}", UNREAD)


def results(output: Node) -> list[Any]:
    """What the forward pass returns, one by one."""
    value: Any = output.args[0]
    if isinstance(value, dict):
        raise refusal("the network", "returns a dictionary", RESULTS)
    return list(value) if isinstance(value, tuple | list) else [value]


def leaves(gm: GraphModule, node: Node) -> bool:
    """Whether a result only leaves the network, as it is or through layers that are left out, or as its argmax."""
    return all(u.op == "output" or (isinstance(module_of(gm, u), _PASSING) and leaves(gm, u)) for u in node.users)


def located(error: IntaglioError, gm: GraphModule) -> IntaglioError:
    """The error with the place in the user's program in front, where its message begins with the name of a node."""
    message = str(error)
    begins = [n for n in gm.graph.nodes if n.op != "output" and _begins(message, n)]
    if not begins:
        return error
    node = max(begins, key=lambda n: len(_label(n)))
    known = place(gm, node)
    rest = message.removeprefix(_label(node))
    _, colon, tail = rest.partition(": ")
    if known in message or not colon:
        return error
    return type(error)(f"{known}: {tail}")


def _label(node: Node) -> str:
    return str(node.target) if node.op in ("call_module", "placeholder") else node.name


def _begins(message: str, node: Node) -> bool:
    return message.startswith(tuple(_label(node) + mark for mark in (":", " ", ".")))


def _shape(node: Node, shapes: Shapes) -> tuple[int, ...]:
    """What enters a node, without the batch."""
    return next((shapes[source][1:] for source in node.all_input_nodes if shapes.get(source)), ())


def _pooled(gm: GraphModule, node: Node, layer: nn.Module, shapes: Shapes) -> bool:
    """Whether only max pools read a border of minus infinity, and none of their windows lies in it alone."""
    pools: list[Any] = [module_of(gm, user) for user in node.users]
    if not isinstance(layer, nn.ConstantPad1d | nn.ConstantPad2d) or layer.value != -float("inf"):
        return False
    if not pools or not all(isinstance(pool, nn.MaxPool1d | nn.MaxPool2d) for pool in pools):
        return False
    with torch.no_grad():
        padded = layer(torch.zeros(1, 1, *_shape(node, shapes)[1:]))
        return all(bool(torch.isfinite(pool(padded)).all()) for pool in pools if not pool.return_indices)
