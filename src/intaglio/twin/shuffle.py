"""The shuffle of channels that ShuffleNet writes as view, transpose, view: one layer again, nn.ChannelShuffle."""

import torch
from torch import nn
from torch.fx import GraphModule, Node

from intaglio.twin.flat import insert_module, sizes_of


def find_shuffles(gm: GraphModule) -> None:
    """Replace (N, C, ...) -> (N, groups, C/groups, ...) -> swapped -> (N, C, ...) by nn.ChannelShuffle(groups).

    What else the sizes might mean is left to the comparison of the recorded form with the network.
    """
    for last in list(gm.graph.nodes):
        swap = _only(last, last)
        first = _only(swap, last)
        if swap is None or first is None or not _swaps(swap):
            continue
        apart, joined = sizes_of(first), sizes_of(last)
        if len(apart) == len(joined) + 1 and len(joined) in (3, 4) and isinstance(apart[1], int) and apart[1] > 0:
            insert_module(gm, last, "shuffle", nn.ChannelShuffle(apart[1]), (first.all_input_nodes[0],))


def _only(user: Node | None, last: Node) -> Node | None:
    """What a reshape or a swap reads, where nothing else reads that (or `user` itself, but for the last one)."""
    if user is None or user.op not in ("call_function", "call_method") or not user.args:
        return None
    if user is last and not sizes_of(last):
        return None
    source = user.args[0]
    return source if isinstance(source, Node) and len(source.users) == 1 else None


def _swaps(node: Node) -> bool:
    """Whether a node swaps axes 1 and 2."""
    if node.target in ("transpose", "swapaxes", "swapdims", torch.transpose, torch.swapaxes, torch.swapdims):
        return sorted(node.args[1:], key=str) == [1, 2]
    axes = node.args[1] if len(node.args) == 2 else node.args[1:]
    return node.target in ("permute", torch.permute) and tuple(axes) in ((0, 2, 1, 3), (0, 2, 1, 3, 4))  # type: ignore[arg-type]
