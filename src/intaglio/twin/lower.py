"""From a quantised torch module to a Graph of integers, and the proof that the two agree."""

import copy
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.fx import GraphModule, Node

from intaglio.ir.errors import IntaglioError, RangeError, ShapeError, UnsupportedLayer
from intaglio.ir.graph import Builder, Graph
from intaglio.ir.ops import Input, Requantize
from intaglio.ir.passes import optimise
from intaglio.ir.types import Type
from intaglio.twin.flat import is_reshape, module_of
from intaglio.twin.form import Form
from intaglio.twin.freeze import freeze, is_frozen
from intaglio.twin.layers import Inputs, each, holds_samples, several, shape_of
from intaglio.twin.quantizers import ActivationQuantizer
from intaglio.twin.refuse import refusal, require_data, require_form, require_layer, results
from intaglio.twin.rules import Scope, reshape
from intaglio.twin.rules import lower as lower_module
from intaglio.twin.source import place, written
from intaglio.twin.supported import ANYTHING_ELSE
from intaglio.twin.trace import trace

EXACT_BITS = 53
"""Integers up to 2**53 are exact in float64, in which the torch side is evaluated."""


def lower(model: nn.Module, example: Inputs, optimised: bool = True) -> Graph:
    """The Graph of a quantised network, for inputs like `example` (N, ...); N may be 1, values do not matter.

    A network of several arguments has an example for each, in a tuple. Inputs have the names of arguments.

    Raises:
        UnsupportedLayer: a layer or setting without integer form; StructureError: a weight is not on a grid;
        ShapeError: shapes do not fit; RangeError: an accumulator is too wide.
    """
    gm = freeze(model)
    shapes = shapes_of(gm, example)
    builder, wires = Builder(), {}
    for node in gm.graph.nodes:
        if node.op == "output":
            return _finish(builder, [_wire(wires, gm, node, item) for item in results(node)], optimised)
        if node in shapes:
            wires[node] = _lower_node(gm, node, builder, wires, shapes)
    raise UnsupportedLayer(f"{type(model).__name__}: the forward pass returns nothing")


def equal(model: nn.Module, graph: Graph, x: Inputs, batch: int = 256) -> int:
    """How many output integers differ between `model` in evaluation mode, in float64, and the Graph, over all `x`.

    A softmax whose result leaves the network is left out, as in the Graph.

    Raises:
        ShapeError: the Graph is of another network, or takes other inputs.
    """
    gm = trace(copy.deepcopy(model)).double().eval()
    x = given(gm, x)
    shapes_of(gm, x)
    form = None if is_frozen(gm) else Form(gm, softmax=False)
    wrong = 0
    _require_number("takes", len(graph.input_types), len(several(x)))
    for kind, some in zip(graph.input_types, several(x), strict=True):
        _require_size("takes", kind, some)
    for parts in zip(*(some.split(batch) for some in several(x)), strict=True):
        with torch.no_grad():
            reals = gm(*(p.double() for p in parts)) if form is None else form.run(*parts, dtype=torch.float64)
        reals = reals if isinstance(reals, tuple | list) else (reals,)
        _require_number("gives", len(graph.outputs), len(reals))
        for real, result, wire in zip(reals, graph(*integers(graph, parts)), graph.output_types, strict=True):
            _require_size("gives", wire, real)
            expected = result.reshape(len(real), -1), real.numpy().reshape(len(real), -1)
            steps = np.broadcast_to(wire.steps(), wire.shape).reshape(1, -1)
            wrong += int((expected[0] * steps != expected[1]).sum())
    return wrong


def integers(graph: Graph, x: Inputs) -> list[NDArray[np.int64]]:
    """The integers that a Graph takes for a network's inputs, one array for each."""
    pairs = zip(graph.input_types, several(x), strict=True)
    return [kind.quantize(some.double().numpy().reshape(-1, *kind.shape)) for kind, some in pairs]


def _require_number(verb: str, here: int, there: int) -> None:
    """ShapeError unless Graph and network have as many tensors."""
    if here != there:
        raise ShapeError(
            f"the Graph {verb} {here} tensors, and the network {there}: compare it with the network from which it was "
            f"lowered"
        )


def _require_size(verb: str, wire: Type, values: Tensor) -> None:
    """ShapeError unless each row of `values` has as many of them as the Graph's wire."""
    if values[0].numel() != wire.size:
        raise ShapeError(
            f"the Graph {verb} {wire.size} values for each sample, {wire.shape}, and the network's are "
            f"{tuple(values.shape[1:])}: compare it with the network from which it was lowered"
        )


def _finish(builder: Builder, outputs: list[int], optimised: bool) -> Graph:
    graph = builder.graph(outputs)
    for node in graph.nodes:
        _prove_exact(node.name, node.op, [graph.nodes[i].type for i in node.inputs], node.type)
    graph = optimise(graph) if optimised else graph
    graph.verify()
    return graph


def _prove_exact(name: str, op: Any, inputs: list[Type], result: Type) -> None:
    """RangeError unless float64 holds every intermediate value of the torch side of this operation."""
    rounds = isinstance(op, Requantize) and op.shift > 0
    numerators = [scale.numerator for scale in result.scale]
    mantissa = 1 if rounds else max(n // (n & -n) for n in numerators)
    bits = (op.magnitude(*inputs) * mantissa).bit_length()
    if bits > EXACT_BITS:
        raise RangeError(
            f"{name}: needs {bits} bits, and float64 holds {EXACT_BITS}, so the torch side would not be "
            f"exact; use fewer bits or power_of_two scales, or bring the sizes of the layer's weights and biases, and "
            f"of its channels, nearer to each other"
        )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


class _Shapes(fx.Interpreter):
    """Runs a network once and keeps the shape of every tensor; refuses what has no integer form, naming the place."""

    def __init__(self, gm: GraphModule) -> None:
        super().__init__(gm)
        self.gm = gm
        self.shapes: dict[Node, tuple[int, ...]] = {}
        self.constants: set[Node] = set()  # nodes that hang on no input
        self.extra_traceback = False  # our messages say where

    def run_node(self, n: Node) -> Any:
        """Run one node."""
        if n.op == "call_module":
            require_data(self.gm, n, self.constants)
            require_layer(self.gm, n, self.shapes)
        try:
            value = super().run_node(n)
        except IntaglioError:
            raise
        except Exception as error:
            before = [str(self.shapes[m]) for m in n.all_input_nodes if m in self.shapes]
            raise ShapeError(
                f"{place(self.gm, n)}: does not accept an input of shape {', '.join(before)} ({_first_line(error)}); "
                "compare the example with the first layer"
            ) from error
        if n.op != "output":
            self._keep(n, value)
        return value

    def _keep(self, n: Node, value: Any) -> None:
        """Keep the shape of an activation; refuse operations that are no modules, and what gives several tensors."""
        tensors = [item for item in (value if isinstance(value, tuple | list) else [value]) if isinstance(item, Tensor)]
        if n.op == "get_attr" or (n.all_input_nodes and self.constants.issuperset(n.all_input_nodes)):
            self.constants.add(n)
        elif tensors:
            if n.op != "call_module":
                require_form(self.gm, n, self.shapes, tuple(tensors[0].shape))
            elif tensors[0] is not value:
                raise refusal(place(self.gm, n), "has no integer form, it gives several tensors", ANYTHING_ELSE)
            self.shapes[n] = tuple(tensors[0].shape)


def one_tensor(example: Inputs) -> Tensor:
    """The one tensor of an example, which may stand in a tuple, without its gradient; ShapeError for anything else."""
    example = example[0] if isinstance(example, tuple | list) and len(example) == 1 else example
    if not isinstance(example, Tensor):
        raise ShapeError(f"the example is a {type(example).__name__}; give one tensor, (samples, ...)")
    if not holds_samples(example) or not len(example):
        shape = tuple(example.shape)
        raise ShapeError(f"the example has shape {shape}; give an ordinary tensor of at least one sample")
    return example.detach()


def given(gm: GraphModule, example: Inputs) -> Inputs:
    """The example of a network's inputs without its gradient: one tensor, or a tuple of one for each argument.

    Raises:
        ShapeError: the example is something else.
    """
    names = [str(node.target) for node in gm.graph.nodes if node.op == "placeholder"]
    if len(names) == 1:
        return one_tensor(example)
    parts = tuple(example) if isinstance(example, tuple | list) else (example,)
    wanted = f"the network takes {len(names)} inputs ({', '.join(names)})"
    if len(parts) != len(names):
        raise ShapeError(f"{wanted}, and the example has {len(parts)}; give a tuple of {len(names)} tensors")
    parts = tuple(map(one_tensor, parts))
    if len({len(part) for part in parts}) > 1:
        raise ShapeError(f"{wanted}, and the example has shapes {shape_of(parts)}; give as many samples of each")
    return parts


def shapes_of(gm: GraphModule, example: Inputs) -> dict[Node, tuple[int, ...]]:
    """Shape of every tensor for a batch of two, by node.

    Raises:
        UnsupportedLayer: a layer or an operation without integer form; ShapeError: shapes do not fit.
    """
    dtype = next((p.dtype for p in gm.parameters()), torch.float32)
    twice = each(given(gm, example), lambda part: torch.cat([part[:1], part[:1]]).to(dtype))
    runner = _Shapes(gm)
    with torch.no_grad():
        runner.run(*several(twice))
    return runner.shapes


def _wire(wires: dict[Node, int], gm: GraphModule, user: Node, source: Any) -> int:
    if source not in wires:
        where = "the network" if user.op == "output" else place(gm, user)
        verb = "returns" if user.op == "output" else "reads"
        raise UnsupportedLayer(f"{where}: {verb} what is not computed from its input; {ANYTHING_ELSE.words}")
    return wires[source]


def _lower_node(
    gm: GraphModule, node: Node, builder: Builder, wires: dict[Node, int], shapes: dict[Node, tuple[int, ...]]
) -> int:
    """One node's operations; the index of its result."""
    if node.op == "placeholder":
        return _input(gm, node, builder, shapes[node])
    if is_reshape(node):
        source = node.all_input_nodes[0]
        return reshape(Scope(builder, node.name), _wire(wires, gm, node, source), _wire_shape(node, shapes[node]))
    module = module_of(gm, node)
    if module is None:
        raise refusal(place(gm, node), "has no integer form", ANYTHING_ELSE)
    arguments = [_wire(wires, gm, node, item) for item in node.args]
    if _is_input_quantizer(node, module):
        return arguments[0]
    expected = _wire_shape(node, shapes[node])
    target = str(node.target)
    scope = Scope(builder, node.name if builder.holds(target) else target)
    try:
        index = lower_module(module, scope, *arguments)
    except IntaglioError as error:
        raise type(error)(str(error) if _names(error, target) else f"{target}: {error}") from error
    if builder.type(index).shape != expected:
        raise ShapeError(
            f"{target}: torch gives shape {expected}, the Graph {builder.type(index).shape}; a custom "
            f"lowering rule is wrong"
        )
    return index


def _names(error: IntaglioError, target: str) -> bool:
    """Whether a message begins with the name of a layer, or of one of its operations."""
    return str(error).startswith((f"{target}:", f"{target} ", f"{target}."))


def _is_input_quantizer(node: Node, module: nn.Module) -> bool:
    return isinstance(module, ActivationQuantizer) and node.all_input_nodes[0].op == "placeholder"


def _input(gm: GraphModule, node: Node, builder: Builder, shape: tuple[int, ...]) -> int:
    """The Input of a network: integers of its quantiser."""
    quantizers = [module_of(gm, user) for user in node.users]
    first = quantizers[0] if quantizers else None
    if len(set(quantizers)) != 1 or not isinstance(first, ActivationQuantizer):
        raise UnsupportedLayer(f"{node.target}: the network's input is not quantised; add FixedPoint to the recipe")
    if first.scale * first.reciprocal != Fraction(1):
        raise UnsupportedLayer(
            f"{node.target}: the input's scale {first.scale} is not a power of two; use input_log2_scale"
        )
    kind = Type(_wire_shape(node, shape), (first.low, first.high), (first.scale,))
    return builder.add(node.name, Input(kind))


def _wire_shape(node: Node, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a wire: without the batch axis, (C, L) as (C, L, 1), and one number per sample as (1,)."""
    if not 1 <= len(shape) <= 4 or shape[0] != 2:
        raise ShapeError(
            f"{written(node) if node.op != 'call_module' else node.target}: gives shape {shape} for a batch of two; "
            "the batch axis must stay first, and vectors, (C, L) or (C, H, W) must follow"
        )
    return {1: (1,), 3: (*shape[1:], 1)}.get(len(shape), shape[1:])
