"""Graph: integer operations in topological order, callable, printable. Builder: how one is made."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from intaglio.ir import text as text_form
from intaglio.ir.errors import GraphError, IntaglioError, RangeError, shown
from intaglio.ir.execute import Program
from intaglio.ir.node import Node
from intaglio.ir.op import Op, Work
from intaglio.ir.ops import Input
from intaglio.ir.types import MAX_BITS, Type

_NAME = re.compile(r'[^"\s]{1,1000}')


@dataclass(frozen=True)
class Graph:
    """Nodes in topological order and the positions of the outputs. Calling it is the golden model."""

    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]

    def __post_init__(self) -> None:
        count = len(self.nodes)
        if not self.outputs or not all(0 <= output < count for output in self.outputs):
            raise GraphError(f"outputs {self.outputs} of a Graph of {count} nodes: name at least one node")
        names = [node.name for node in self.nodes]
        if len(set(names)) != count:
            raise GraphError(f"two nodes are named {max(names, key=names.count)!r}: names must be unique")
        for position, node in enumerate(self.nodes):
            if not all(0 <= wire < position for wire in node.inputs):
                raise GraphError(f"{node.name} reads {node.inputs}: inputs must be earlier nodes")

    def __call__(self, *arrays: npt.ArrayLike) -> list[npt.NDArray[np.int64]]:
        """Outputs (batch, ...) for integer inputs (batch, ...); DataError when outside an input's range."""
        return self._plan.run(arrays)

    def run(self, *arrays: npt.ArrayLike) -> dict[str, npt.NDArray[np.int64]]:
        """Every wire by node name, (batch, ...)."""
        wires = self._plan.every(arrays)
        return {node.name: wire for node, wire in zip(self.nodes, wires, strict=True)}

    @cached_property
    def _plan(self) -> Program:
        return Program(self.nodes, self.outputs)

    @cached_property
    def _users(self) -> tuple[tuple[int, ...], ...]:
        users: list[list[int]] = [[] for _ in self.nodes]
        for position, node in enumerate(self.nodes):
            for wire in dict.fromkeys(node.inputs):
                users[wire].append(position)
        return tuple(tuple(positions) for positions in users)

    def users(self, position: int) -> tuple[int, ...]:
        """Positions of the nodes that read the given one."""
        return self._users[position]

    @property
    def inputs(self) -> tuple[int, ...]:
        """Positions of the Input nodes, in the order of the arguments of a call."""
        return tuple(i for i, node in enumerate(self.nodes) if isinstance(node.op, Input))

    @property
    def input_types(self) -> tuple[Type, ...]:
        """Types of the inputs."""
        return tuple(self.nodes[i].type for i in self.inputs)

    @property
    def output_types(self) -> tuple[Type, ...]:
        """Types of the outputs."""
        return tuple(self.nodes[i].type for i in self.outputs)

    def node(self, name: str) -> Node:
        """The node of that name."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise GraphError(f"no node is named {name!r}: there are {', '.join(n.name for n in self.nodes)}")

    def work(self) -> Work:
        """Work of one sample: the sum over all nodes."""
        works = (node.op.work(*(self.nodes[i].type for i in node.inputs)) for node in self.nodes)
        return sum(works, Work())

    def verify(self) -> None:
        """Derive every Type again and compare; GraphError, RangeError or ShapeError naming the node."""
        for node in self.nodes:
            found = derive(node.name, node.op, [self.nodes[i].type for i in node.inputs])
            if found != node.type:
                raise GraphError(
                    f"{node.name} is declared {text_form.show(node.type)}, but is {text_form.show(found)}"
                )

    def text(self) -> str:
        """The Graph as text, for people and for `Graph.parse`."""
        return text_form.dump(self.nodes, self.outputs)

    __str__ = text

    @staticmethod
    def parse(text: str) -> "Graph":
        """The Graph of a text; GraphError when it is not one, or when a written Type is not derived."""
        lines, outputs = text_form.parse(text)
        builder = Builder()
        for line in lines:
            position = builder.add(line.name, line.op, *(builder.find(name) for name in line.inputs))
            found = text_form.show(builder.nodes[position].type)
            if found != line.type:
                raise GraphError(f"{line.name} is declared {line.type[:200]}, but is {found}")
        return builder.graph([builder.find(name) for name in outputs])


def derive(name: str, op: Op, inputs: list[Type]) -> Type:
    """Type of a result, errors naming the node; RangeError when an accumulator exceeds 62 bits."""
    try:
        result = op.type(*inputs)
    except IntaglioError as error:
        raise error.__class__(f"{name}: {error}") from error
    except (TypeError, ValueError) as error:
        raise GraphError(f"{name}: {op.__class__.__name__} cannot take {len(inputs)} inputs") from error
    bits = op.magnitude(*inputs).bit_length() + 1
    if bits > MAX_BITS:
        raise RangeError(
            f"{name}: an accumulator of {bits} bits, more than {MAX_BITS}: use fewer bits for weights or "
            "activations, requantise earlier or split the layer"
        )
    return result


class Builder:
    """Makes a Graph node by node, deriving every Type."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._positions: dict[str, int] = {}
        self._layers: set[str] = set()

    def add(self, name: str, op: Op, *inputs: int) -> int:
        """Append a node and give its position. Names are unique, of at most 1000 characters, no spaces and quotes."""
        if name in self._positions:
            raise GraphError(f"two nodes are named {name!r}: names must be unique")
        if not _NAME.fullmatch(name):
            raise GraphError(f"{shown(name)} is not a name: give 1 to 1000 characters, no spaces and quotes")
        if not all(0 <= wire < len(self.nodes) for wire in inputs):
            raise GraphError(f"{name} reads {inputs}: inputs must be earlier nodes")
        type = derive(name, op, [self.nodes[i].type for i in inputs])
        return self._append(Node(name, op, inputs, type))

    def keep(self, node: Node, old: Sequence[Type], *inputs: int) -> int:
        """Append a node of another Graph, where it read the Types `old`: derived again only where these differ now."""
        if tuple(old) != tuple(self.type(wire) for wire in inputs):
            return self.add(node.name, node.op, *inputs)
        if node.name in self._positions:
            raise GraphError(f"two nodes are named {node.name!r}: names must be unique")
        return self._append(Node(node.name, node.op, inputs, node.type))

    def _append(self, node: Node) -> int:
        self._positions[node.name] = len(self.nodes)
        self._layers.update(accumulate(node.name.split("."), "{}.{}".format))
        self.nodes.append(node)
        return len(self.nodes) - 1

    def holds(self, layer: str) -> bool:
        """Whether a node is named like a layer, or like a part of it (`layer.part`)."""
        return layer in self._layers

    def find(self, name: str) -> int:
        """Position of the node of that name."""
        if name not in self._positions:
            raise GraphError(f"no node is named {name!r} yet: nodes must come before their users")
        return self._positions[name]

    def type(self, position: int) -> Type:
        """Type of a node."""
        return self.nodes[position].type

    def graph(self, outputs: Iterable[int]) -> Graph:
        """The finished Graph."""
        return Graph(tuple(self.nodes), tuple(outputs))
