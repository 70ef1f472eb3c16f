"""The hardware's form of a quantised network: the same layers, with batch norms merged and averages as sums.

It is a second reading of the network's own modules and parameters, never a copy of their values.
"""

import copy
from collections import Counter
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx import GraphModule, Node
from torch.fx.node import map_aggregate, map_arg

from intaglio.ir.errors import UnsupportedLayer
from intaglio.twin.exact import NORMS, Clip, Exact, ExactBorder, ExactLayer, Norm, Steps, has_statistics
from intaglio.twin.flat import is_reshape
from intaglio.twin.layers import WEIGHTED
from intaglio.twin.modules import ArgMax, SumPool
from intaglio.twin.placement import only_user, role
from intaglio.twin.quantizers import ActivationQuantizer, LevelQuantizer
from intaglio.twin.stack import grid_of
from intaglio.twin.staircase import MOST_LEVELS
from intaglio.twin.wires import TwinWire, wire

AVERAGES = (nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d)
SOFTMAXES = (nn.Softmax, nn.LogSoftmax)
_CLIPS = (nn.ReLU, nn.Hardtanh)
_LEAVING = (nn.Flatten, ArgMax, *SOFTMAXES)
_DROPPED = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.Identity)


class Form:
    """A graph over modules; those of kind Exact compute what the hardware computes.

    A softmax whose result only leaves the network is not part of the hardware; `softmax` keeps it all the same.
    """

    def __init__(self, gm: GraphModule, softmax: bool = True) -> None:
        self.gm = gm
        self.graph: fx.Graph = copy.deepcopy(gm.graph)
        self.modules = {
            str(node.target): gm.get_submodule(str(node.target))
            for node in self.graph.nodes
            if node.op == "call_module"
        }
        self._drop(softmax)
        self._averages()
        calls = Counter(str(node.target) for node in self.graph.nodes if node.op == "call_module")
        self._alone = {name for name, count in calls.items() if count == 1}
        self._staircases()
        self._norms()
        self._layers()
        self._constants()

    def module(self, node: Node | None) -> nn.Module | None:
        """The module that a node calls; None for anything else."""
        return self.modules[str(node.target)] if node is not None and node.op == "call_module" else None

    def run(self, *inputs: Tensor, dtype: torch.dtype) -> Any:
        """The network's outputs in `dtype`. Values between quantisers are float64, quantised ones `dtype`."""
        values: dict[Node, Any] = {}
        wires: dict[Node, TwinWire] = {}
        given = iter(inputs)
        for node in self.graph.nodes:
            if node.op == "placeholder":
                values[node] = next(given).double()
            elif node.op == "output":
                return map_aggregate(_values(node.args[0], values), lambda v: _cast(v, dtype))
            elif isinstance(module := self.module(node), Exact):
                (source,) = node.all_input_nodes
                values[node], wires[node] = module(values[source], wires[source])
                continue
            else:
                values[node] = self._call(node, values, dtype)
            wires[node] = self._wire(node, wires)
        raise UnsupportedLayer(f"{type(self.gm).__name__}: the forward pass returns nothing")

    def wires(self) -> dict[Node, TwinWire]:
        """What is known of every value, from the parameters alone."""
        wires: dict[Node, TwinWire] = {}
        for node in self.graph.nodes:
            module = self.module(node)
            if isinstance(module, Exact):
                wires[node] = module.wire(wires[node.all_input_nodes[0]])
            elif node.op != "output":
                wires[node] = self._wire(node, wires)
        return wires

    def _wire(self, node: Node, wires: dict[Node, TwinWire]) -> TwinWire:
        return wire(self.module(node), *(wires[source] for source in node.all_input_nodes))

    def _call(self, node: Node, values: dict[Node, Any], dtype: torch.dtype) -> Any:
        """A module, function or method of torch; what does arithmetic does it in float64."""
        args, kwargs = _values(node.args, values), _values(node.kwargs, values)
        if node.op == "get_attr":
            return attribute(self.gm, str(node.target))
        if node.op == "call_function":
            return node.target(*args, **kwargs)  # type: ignore[operator]
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        module = self.modules[str(node.target)]
        if role(module) == "passive":
            return module(*args, **kwargs)
        result = module(*map_aggregate(args, lambda v: _cast(v, torch.float64)), **kwargs)
        return _cast(result, dtype) if isinstance(module, ActivationQuantizer) else result

    def _nodes(self, kinds: tuple[type[nn.Module], ...]) -> list[Node]:
        return [node for node in self.graph.nodes if isinstance(self.module(node), kinds)]

    def _erase(self, node: Node) -> None:
        node.replace_all_uses_with(node.all_input_nodes[0])
        self.graph.erase_node(node)

    def _drop(self, softmax: bool) -> None:
        """Remove dropout, identities, a softmax in front of an argmax, and one that leaves the network, unless kept."""
        for node in self._nodes(_DROPPED):
            self._erase(node)
        for node in reversed(self._nodes(SOFTMAXES)):
            along = getattr(self.module(node), "dim", None) in (None, 1, -1)
            classes = all(isinstance(self.module(user), ArgMax) for user in node.users)  # saturated values would tie
            if along and (classes or (not softmax and all(user.op == "output" for user in node.users))):
                self._erase(node)

    def _averages(self) -> None:
        """Average pools become sums times a dyadic factor; those without such a form stay."""
        for name, module in self.modules.items():
            if isinstance(module, AVERAGES) and problem(module) is None:
                self.modules[name] = sum_pool(module)

    def _staircases(self) -> None:
        """Quantisers of few levels behind a layer and its batch norm become comparisons with the layer's sums."""
        for node in self._nodes((ActivationQuantizer,)):
            quantizer = self.modules[str(node.target)]
            assert isinstance(quantizer, ActivationQuantizer)
            clip, before = None, node.all_input_nodes[0]
            if isinstance(self.module(before), _CLIPS) and only_user(before) is node:
                clip, before = before, before.all_input_nodes[0]
            layer = self._normalised(before) if only_user(before) is (clip or node) else None
            if layer is None or not _few(quantizer):
                continue
            norm, weights = self.modules[str(before.target)], self.modules[str(layer.target)]
            self.modules[str(layer.target)] = ExactLayer(weights, None, leaves=False, signs=norm)
            self._put(node, Steps(quantizer, norm, weights, self.module(clip)))
            for gone in (clip, before):
                if gone is not None:
                    self._erase(gone)

    def _normalised(self, norm: Node) -> Node | None:
        """The layer with weights, called once, that only this batch norm reads; None if there is none such."""
        if not self._fixed(norm):
            return None
        source = norm.all_input_nodes[0]
        alone = only_user(source) is norm and str(source.target) in self._alone
        return source if alone and isinstance(self.module(source), WEIGHTED) else None

    def _fixed(self, node: Node) -> bool:
        """Whether a node is a batch norm with running statistics."""
        return isinstance(self.module(node), NORMS) and has_statistics(self.module(node))

    def _norms(self) -> None:
        """Merge each batch norm into the layer before it, or make it a factor and an offset."""
        for node in self._nodes(NORMS):
            if not self._fixed(node):
                continue
            norm, layer = self.modules[str(node.target)], self._normalised(node)
            if layer is None:
                self._put(node, Norm(norm))
            else:
                self.modules[str(layer.target)] = ExactLayer(self.modules[str(layer.target)], norm, leaves=False)
                self._erase(node)

    def _layers(self) -> None:
        for node in self._nodes(WEIGHTED):
            self._put(node, ExactLayer(self.modules[str(node.target)], None, leaves=False))
        for node in self._nodes((ExactLayer,)):
            layer = self.modules[str(node.target)]
            assert isinstance(layer, ExactLayer)
            layer.leaves = self.leaves(node)

    def _constants(self) -> None:
        """Borders, and clips that are no part of a quantiser, have constants on a grid."""
        for node in self._nodes((nn.ConstantPad1d, nn.ConstantPad2d)):
            self._put(node, ExactBorder(self.modules[str(node.target)]))
        for node in self._nodes((nn.Hardtanh,)):
            if not isinstance(self.module(only_user(node)), ActivationQuantizer):
                self._put(node, Clip(self.modules[str(node.target)]))

    def _put(self, node: Node, made: Exact) -> None:
        """Let one call be of another module; a module that is called several times gets a name for each call."""
        name = str(node.target)
        if name not in self._alone:
            name = node.target = f"{name}_{sum(other.startswith(name + '_') for other in self.modules)}_call"
        self.modules[name] = made

    def leaves(self, node: Node) -> bool:
        """Whether a result leaves the network without meeting another computation."""
        return all(
            user.op == "output"
            or ((is_reshape(user) or isinstance(self.module(user), _LEAVING)) and self.leaves(user))
            for user in node.users
        )


def decisive(module: nn.Module | None) -> tuple[object, ...]:
    """What of a module decides its place in a Form: as long as that stays, a Form does."""
    return id(module), _few(module), has_statistics(module)


def _few(module: nn.Module | None) -> bool:
    """Whether a module is a quantiser of few levels."""
    if not isinstance(module, ActivationQuantizer):
        return False
    return isinstance(module, LevelQuantizer) or module.high - module.low < MOST_LEVELS


def ready(gm: GraphModule) -> bool:
    """Whether a network is quantised throughout: each weight on a grid, each input quantised, none being observed."""
    modules = [gm.get_submodule(str(n.target)) for n in gm.graph.nodes if n.op == "call_module"]
    inputs = [user for node in gm.graph.nodes if node.op == "placeholder" for user in node.users]
    quantised = [gm.get_submodule(str(u.target)) if u.op == "call_module" else None for u in inputs]
    return (
        bool(inputs)
        and all(isinstance(module, ActivationQuantizer) for module in quantised)
        and not any(isinstance(m, ActivationQuantizer) and m.observer is not None for m in modules)
        and all(grid_of(m) is not None for m in modules if isinstance(m, WEIGHTED))
        and all(has_statistics(m) for m in modules)
        and not any(role(m) == "other" and any(True for _ in m.parameters()) for m in modules)
    )


def problem(module: nn.Module) -> str | None:
    """Why an average pool has no exact form, with a remedy; None if it has one."""
    if isinstance(module, nn.AdaptiveAvgPool1d | nn.AdaptiveAvgPool2d):
        size = module.output_size
        if any(part != 1 for part in (size if isinstance(size, tuple) else (size,))):
            return f"adaptive pooling to {size}; only to 1 is supported: use AvgPool2d"
        return None
    assert isinstance(module, nn.AvgPool1d | nn.AvgPool2d)
    if module.ceil_mode or getattr(module, "divisor_override", None):
        return "ceil_mode and divisor_override have no integer form: leave them out"
    if any(_tuple(module.padding, 2)) and not module.count_include_pad:
        return "count_include_pad=False divides by a varying size: set it to True"
    return None


def sum_pool(module: nn.Module) -> SumPool:
    """The exact form of an average pool."""
    if isinstance(module, nn.AdaptiveAvgPool1d | nn.AdaptiveAvgPool2d):
        return SumPool(None, (), ())
    assert isinstance(module, nn.AvgPool1d | nn.AvgPool2d)
    axes = 1 if isinstance(module, nn.AvgPool1d) else 2
    kernel, stride, padding = (_tuple(v, axes) for v in (module.kernel_size, module.stride, module.padding))
    return SumPool(kernel, stride, padding)


def _tuple(value: int | tuple[int, ...], axes: int) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple) else (value,) * axes


def _values(arguments: Any, values: dict[Node, Any]) -> Any:
    return map_arg(arguments, lambda node: values[node])


def _cast(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value


def attribute(gm: GraphModule, path: str) -> Any:
    """A parameter, buffer or constant of a network by its path."""
    value: Any = gm
    for part in path.split("."):
        value = getattr(value, part)
    return value
