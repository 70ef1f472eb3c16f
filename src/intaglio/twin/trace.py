"""A torch module as a flat torch.fx graph in which every operation is a module."""

from torch import nn
from torch.fx import GraphModule

from intaglio.twin.flat import insert_module
from intaglio.twin.functional import replacement
from intaglio.twin.in_place import by_value
from intaglio.twin.network import Network
from intaglio.twin.normal import normalise
from intaglio.twin.prepare import inside
from intaglio.twin.record import record
from intaglio.twin.shuffle import find_shuffles
from intaglio.twin.source import FORM, form


def trace(model: nn.Module) -> Network:
    """A flat GraphModule that shares the submodules of `model` under the same names.

    Functional forms (F.relu, +, torch.cat, ...) become modules named after their place, so that later steps
    see only modules, reshapes and sizes. The forward pass is recorded in evaluation mode; nothing changes a tensor
    in place. A network that was traced before is returned as it is.

    Raises:
        UnsupportedLayer: the forward pass depends on data, or uses an operation without a rule.
    """
    model = inside(model)
    if isinstance(model, Network):
        return model
    gm = record(model)
    by_value(gm)
    normalise(gm)
    find_shuffles(gm)
    _modularise(gm)
    return gm


def _modularise(module: GraphModule) -> None:
    """Replace functional operations in place."""
    for node in list(module.graph.nodes):
        if node.op not in ("call_function", "call_method"):
            continue
        found = replacement(node)
        if found is not None:
            made, arguments = found
            node.meta[FORM] = form(node)
            insert_module(module, node, node.name, made.train(module.training), arguments)
    module.graph.eliminate_dead_code()
    module.graph.lint()
    module.recompile()
