"""A torch module as a flat torch.fx graph in which every operation is a module."""

import re

from torch import nn
from torch.fx import GraphModule

from intaglio.ir.errors import UnsupportedLayer
from intaglio.twin.flat import insert_module
from intaglio.twin.functional import replacement
from intaglio.twin.network import Network
from intaglio.twin.source import FORM, SourceTracer, form, line_of


class _Tracer(SourceTracer):
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
        raise _not_recorded(model, error) from error
    finally:
        model.train(training)
    module = Network(model, graph, type(model).__name__)
    _modularise(module)
    module.train(training)
    return module


def _not_recorded(model: nn.Module, error: Exception) -> UnsupportedLayer:
    """What a forward pass that cannot be recorded should become, and the line where the recording stopped."""
    line = line_of(error)
    where = f"{type(model).__name__}, {line} `{line.text[:80]}`" if line else type(model).__name__
    if isinstance(error, NotImplementedError) and "forward" in str(error):
        return UnsupportedLayer(
            f"{where}: the forward pass cannot be recorded, because a module in it has none; call its parts instead"
        )
    said = re.sub(r"Proxy\(\w+\)|'Proxy' object", "a tensor", str(error).partition("\n")[0])
    return UnsupportedLayer(
        f"{where}: the forward pass cannot be recorded ({said}); a branch or a loop that depends on tensor values "
        "has no fixed hardware: make it a constant, or split the network"
    )


def _modularise(module: GraphModule) -> None:
    """Replace functional operations in place."""
    for node in list(module.graph.nodes):
        if node.op not in ("call_function", "call_method"):
            continue
        found = replacement(node)
        if found is not None:
            made, arguments = found
            node.meta[FORM] = form(node)
            insert_module(module, node, node.name, made, arguments)
    module.graph.lint()
    module.recompile()
