"""Where activation quantisers go in a traced network.

A *chain* starts at a module whose result needs many bits (a dot product, an addition, an average, a batch
norm) and goes on through batch norms and activations that are its only use. One quantiser follows each
chain. None follows a chain whose result leaves the network without meeting another dot product: logits stay
accumulators.
"""

from collections.abc import Callable, Iterable
from functools import singledispatch
from typing import Literal

from torch import nn
from torch.fx import GraphModule, Node

from intaglio.twin.flat import is_reshape, module_of
from intaglio.twin.layers import matches
from intaglio.twin.modules import Add, Affine, ArgMax, Concat, SumPool
from intaglio.twin.quantizers import ActivationQuantizer, ClippedQuantizer

Role = Literal["start", "follow", "either", "passive", "quantizer", "other"]


@singledispatch
def role(module: nn.Module | None) -> Role:
    """start: opens a chain. follow: continues one, nothing by itself. either: continues one, or opens one.

    passive: passes integers on as they are. A method registers the modules it adds.
    """
    del module
    return "other"


def _register(answer: Role, *kinds: type[nn.Module]) -> None:
    for kind in kinds:
        role.register(kind)(lambda module: answer)


_register(
    "start",
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    Add,
    Concat,
    Affine,
    SumPool,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
)
_register("either", nn.BatchNorm1d, nn.BatchNorm2d, nn.Hardtanh)
_register("follow", nn.ReLU, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout)
_register("passive", nn.MaxPool1d, nn.MaxPool2d, nn.Flatten, nn.Unflatten, nn.ChannelShuffle)
_register("passive", nn.Softmax, nn.LogSoftmax, ArgMax)
_register("quantizer", ActivationQuantizer)


def role_of(gm: GraphModule, node: Node) -> Role:
    """The role of a node."""
    return "passive" if is_reshape(node) else role(module_of(gm, node))


class Chain:
    """Nodes from the start of a chain to its end, and the quantiser that already follows, if any."""

    def __init__(self, nodes: list[Node], quantizer: Node | None) -> None:
        self.nodes, self.quantizer = nodes, quantizer

    @property
    def start(self) -> Node:
        """The node that opens the chain."""
        return self.nodes[0]

    @property
    def end(self) -> Node:
        """The node whose result is quantised."""
        return self.nodes[-1]


def chains(gm: GraphModule) -> list[Chain]:
    """All chains whose end needs a quantiser, in order."""
    found: list[Chain] = []
    seen: set[Node] = set()
    for node in gm.graph.nodes:
        if node in seen or role_of(gm, node) not in ("start", "either"):
            continue
        nodes = [node]
        while (after := only_user(nodes[-1])) is not None and role_of(gm, after) in ("follow", "either"):
            nodes.append(after)
        seen.update(nodes)
        after = only_user(nodes[-1])
        quantizer = after if after is not None and role_of(gm, after) == "quantizer" else None
        if quantizer is not None or _computes_on(gm, nodes[-1]):
            found.append(Chain(nodes, quantizer))
    return found


def replace_activations(
    gm: GraphModule,
    select: str | Iterable[str],
    make: Callable[[ActivationQuantizer, bool], ActivationQuantizer],
) -> list[tuple[str, ActivationQuantizer]]:
    """Put `make(old, unsigned)` in place of the quantiser of every chain that starts at a selected module.

    `unsigned` says whether the values are never negative. Returns the new quantisers by name.
    """
    positive = never_negative(gm)
    placed: list[tuple[str, ActivationQuantizer]] = []
    for chain in chains(gm):
        start = module_of(gm, chain.start)
        if start is None or chain.quantizer is None or not matches(str(chain.start.target), start, select):
            continue
        name = str(chain.quantizer.target)
        old = gm.get_submodule(name)
        assert isinstance(old, ActivationQuantizer)
        new = make(old, chain.end in positive)
        gm.set_submodule(name, new)
        placed.append((name, new))
    return placed


def replace_clips(
    gm: GraphModule, select: str | tuple[str, ...], make: Callable[[], ClippedQuantizer]
) -> list[ClippedQuantizer]:
    """Put new clips in place of the quantisers of values that are never negative, and return them."""

    def new(old: ActivationQuantizer, unsigned: bool) -> ActivationQuantizer:
        return make() if unsigned else old

    clips = [clip for _, clip in replace_activations(gm, select, new) if isinstance(clip, ClippedQuantizer)]
    gm.recompile()
    return clips


def only_user(node: Node) -> Node | None:
    """The one user of a node, or None."""
    return next(iter(node.users)) if len(node.users) == 1 else None


def _computes_on(gm: GraphModule, node: Node) -> bool:
    """Whether a result meets another computation before it leaves the network."""
    waiting, seen = list(node.users), set()
    while waiting:
        user = waiting.pop()
        if user in seen or not (user.op == "call_module" or is_reshape(user)):
            continue
        seen.add(user)
        if role_of(gm, user) in ("start", "either", "other"):
            return True
        waiting.extend(user.users)
    return False


def never_negative(gm: GraphModule) -> set[Node]:
    """The nodes whose values are at least zero, whatever the input."""
    found: set[Node] = set()
    for node in gm.graph.nodes:
        module = module_of(gm, node)
        if isinstance(module, nn.ReLU | nn.Softmax | nn.Sigmoid):
            found.add(node)
        elif isinstance(module, nn.Hardtanh):
            if module.min_val >= 0:
                found.add(node)
        elif isinstance(module, ActivationQuantizer):
            if module.low >= 0:
                found.add(node)
        elif _keeps_sign(gm, node) and node.all_input_nodes and all(n in found for n in node.all_input_nodes):
            found.add(node)
    return found


_KEEP_SIGN = (
    Add,
    Concat,
    SumPool,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.ChannelShuffle,
    nn.Flatten,
    nn.Dropout,
    nn.Identity,
)


def _keeps_sign(gm: GraphModule, node: Node) -> bool:
    return is_reshape(node) or isinstance(module_of(gm, node), _KEEP_SIGN)
