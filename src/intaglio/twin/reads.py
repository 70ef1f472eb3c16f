"""What a layer reads: the tensor behind dropouts and flattening, its quantiser, and an alignment put between them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx import GraphModule, Node

from intaglio.ir.errors import IntaglioError, ShapeError, UnsupportedLayer
from intaglio.twin.align import BlockAlign
from intaglio.twin.flat import free_name, is_reshape, module_of
from intaglio.twin.layers import Inputs, several, shape_of
from intaglio.twin.placement import role_of
from intaglio.twin.quantizers import ActivationQuantizer

_SAME = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout)


@dataclass(frozen=True)
class Read:
    """What one call of a layer reads: `source`, by the nodes `path` (last first); `shape` is that of the source."""

    call: Node
    source: Node
    path: tuple[Node, ...]
    shape: tuple[int, ...]


class _Shapes(fx.Interpreter):
    """Runs a network once and keeps the shape of every tensor."""

    def __init__(self, gm: GraphModule) -> None:
        super().__init__(gm)
        self.shapes: dict[Node, tuple[int, ...]] = {}
        self.extra_traceback = False

    def run_node(self, n: Node) -> Any:
        """Run one node."""
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.shapes[n] = tuple(value.shape)
        return value


def _shapes(gm: GraphModule, example: Inputs) -> dict[Node, tuple[int, ...]]:
    """The shape of every tensor; ShapeError where the network does not accept the example."""
    training = gm.training
    runner = _Shapes(gm.eval())
    try:
        with torch.no_grad():
            runner.run(*several(example))
    except IntaglioError:
        raise
    except (RuntimeError, ValueError) as error:
        raise ShapeError(
            f"the network does not accept data of shape {shape_of(example)} ({str(error).partition(chr(10))[0]}); "
            f"give inputs as its first layer takes them"
        ) from error
    finally:
        gm.train(training)
    return runner.shapes


def reads(gm: GraphModule, names: Iterable[str], example: Inputs) -> list[Read]:
    """What the named layers read: behind dropouts, and behind flattening where the layer takes vectors."""
    shapes, names = _shapes(gm, example), set(names)
    found: list[Read] = []
    for node in gm.graph.nodes:
        if node.op != "call_module" or str(node.target) not in names:
            continue
        source, path = node.all_input_nodes[0], []
        while _passes(gm, source, len(shapes[source])):
            path.append(source)
            source = source.all_input_nodes[0]
        found.append(Read(node, source, tuple(path), shapes[source]))
    return found


def _passes(gm: GraphModule, node: Node, axes: int) -> bool:
    """Whether a node gives the values that it reads, so that they may be aligned before it."""
    module = module_of(gm, node)
    return isinstance(module, (BlockAlign, *_SAME)) or (
        axes == 2 and (is_reshape(node) or isinstance(module, nn.Flatten))
    )


def quantizer_behind(gm: GraphModule, node: Node) -> Node | None:
    """The quantiser whose integers a node passes on, perhaps with a border, if there is one."""
    while role_of(gm, node) == "passive" or isinstance(module_of(gm, node), nn.ConstantPad1d | nn.ConstantPad2d):
        node = node.all_input_nodes[0]
    return node if isinstance(module_of(gm, node), ActivationQuantizer) else None


def integers_read(gm: GraphModule, read: Read) -> Node:
    """The quantiser whose integers a layer reads; UnsupportedLayer without one."""
    node = quantizer_behind(gm, read.source)
    if node is None:
        raise UnsupportedLayer(
            f"{read.call.target}: reads {read.source.name}, which is not quantised, so there are no integers to align; "
            f"put FixedPoint before this method, or leave the layer out with `select`"
        )
    return node


def align_at(gm: GraphModule, read: Read, made: BlockAlign | None) -> None:
    """Let a layer read its source through `made`, copying the path, which others may use as well."""
    value = read.source if made is None else _aligned(gm, read, made)
    before, last = read.source, read.call.all_input_nodes[0]
    for node in reversed(read.path):
        if not isinstance(module_of(gm, node), BlockAlign):
            with gm.graph.inserting_before(read.call):
                value = gm.graph.node_copy(node, lambda n, old=before, new=value: new if n is old else n)
        before = node
    read.call.replace_input_with(last, value)
    for node in read.path:
        if not node.users:
            gm.graph.erase_node(node)


def _aligned(gm: GraphModule, read: Read, made: BlockAlign) -> Node:
    """The source aligned, by a module that does so already or by `made`."""
    for user in read.source.users:
        module = module_of(gm, user)
        if isinstance(module, BlockAlign) and (module.block, module.mantissa) == (made.block, made.mantissa):
            return user
    name = free_name(gm, f"{read.call.target}_align")
    gm.add_submodule(name, made)
    with gm.graph.inserting_after(read.source):
        return gm.graph.call_module(name, (read.source,))
