"""From a trained network to one whose every value is a constant dyadic number: what the lowering rules read.

Freezing makes an evaluation copy in float64 of the network's hardware form (see `form`, `exact`): weights are integers
times their scale, batch norm is merged, biases lie on a grid, averages are sums times a dyadic factor, clips are part
of the quantisers, and a final softmax is gone (the outputs are logits; the largest stays the largest).
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from intaglio.ir.errors import StructureError, UnsupportedLayer
from intaglio.twin.exact import Exact, ExactLayer, clipped, require_statistics
from intaglio.twin.flat import module_of
from intaglio.twin.form import AVERAGES, Form, attribute, problem
from intaglio.twin.layers import WEIGHTED, require_finite
from intaglio.twin.network import Network
from intaglio.twin.placement import only_user
from intaglio.twin.prepare import require_plain
from intaglio.twin.quantizers import ActivationQuantizer, LevelQuantizer
from intaglio.twin.stack import declared_scales
from intaglio.twin.staircase import staircase
from intaglio.twin.trace import trace

_FROZEN = "intaglio_frozen"


def freeze(model: nn.Module) -> GraphModule:
    """The exact evaluation copy of a quantised network, in float64; freezing it again changes nothing.

    Raises:
        StructureError: a weight is not on a grid; UnsupportedLayer: a layer setting without an exact form, or a hook;
        RangeError: a parameter is not finite.
    """
    require_plain(model)
    gm = trace(copy.deepcopy(model))
    if is_frozen(gm):
        return gm
    gm = gm.double().eval()
    for name, module in gm.named_modules():
        own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        if own:  # a layer, or the original of a parametrisation
            require_finite(name, module)
        require_statistics(name, module)
        if isinstance(module, WEIGHTED):
            declared_scales(module, name)
    frozen = _constants(Form(gm, softmax=False))
    _clips(frozen)
    _uneven(frozen)
    frozen.graph.lint()
    frozen.delete_all_unused_submodules()
    frozen.recompile()
    frozen.meta[_FROZEN] = True
    return frozen.eval()


def is_frozen(gm: GraphModule) -> bool:
    """Whether `freeze` made this network."""
    return bool(gm.meta.get(_FROZEN))


def _constants(form: Form) -> Network:
    """The form with every exact module as constants."""
    modules: dict[str, Any] = dict(form.modules)
    wires = form.wires()
    for node in form.graph.nodes:
        module = form.module(node)
        if isinstance(module, Exact):
            name, given = str(node.target), wires[node.all_input_nodes[0]]
            modules[name] = module.frozen(name, given)
            if isinstance(module, ExactLayer):
                _require_same(name, modules[name], *module.constants(given))
        elif isinstance(module, AVERAGES) and (why := problem(module)) is not None:
            raise UnsupportedLayer(f"{node.target}: {why}")
        elif node.op == "get_attr":
            modules[str(node.target)] = attribute(form.gm, str(node.target))
    return Network(modules, form.graph, type(form.gm).__name__)


def _require_same(name: str, frozen: nn.Module, weight: Tensor, bias: Tensor | None) -> None:
    """StructureError unless a frozen layer has exactly the numbers with which the network is evaluated."""
    pairs = (("weight", frozen.weight, weight), ("bias", frozen.bias, bias))
    for what, found, wanted in pairs:
        same = torch.equal(found, wanted) if isinstance(found, Tensor) and wanted is not None else found is wanted
        if not same:
            raise StructureError(
                f"{name}: freezing changed its {what}: what would be carved is not what is evaluated; report this "
                f"as a fault of Intaglio, with the network and the recipe"
            )


def _nodes(gm: GraphModule, kinds: tuple[type[nn.Module], ...]) -> list[tuple[Node, nn.Module]]:
    """Nodes that call a module of one of these kinds, with the module."""
    found = [(node, module_of(gm, node)) for node in gm.graph.nodes]
    return [(node, module) for node, module in found if isinstance(module, kinds)]


def _clips(gm: GraphModule) -> None:
    """A clip before a quantiser becomes that quantiser's range."""
    for node, clip in _nodes(gm, (nn.ReLU, nn.Hardtanh)):
        after = only_user(node)
        quantizer = module_of(gm, after) if after is not None else None
        if after is not None and isinstance(quantizer, ActivationQuantizer):
            gm.set_submodule(str(after.target), clipped(quantizer, clip))
            node.replace_all_uses_with(node.all_input_nodes[0])
            gm.graph.erase_node(node)


def _uneven(gm: GraphModule) -> None:
    """Quantisers of uneven levels become exact comparisons, but that of the input."""
    for node, quantizer in _nodes(gm, (LevelQuantizer,)):
        if node.all_input_nodes[0].op != "placeholder":
            gm.set_submodule(str(node.target), staircase(quantizer))  # type: ignore[arg-type]
