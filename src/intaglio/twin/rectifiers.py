"""Quantisers that take the place of rectifiers: they have negative levels, which a clip before them would waste.

The ReLU or Hardtanh of a chain goes, and one that follows the quantiser behind a pool. Where a batch norm follows
behind a pool, the quantiser comes behind the batch norm, and what stands before the pool stays.
"""

from collections.abc import Iterable, Sequence

from torch import nn
from torch.fx import GraphModule, Node

from intaglio.ir.errors import StructureError
from intaglio.twin.flat import insert_after, is_reshape, module_of
from intaglio.twin.layers import matches
from intaglio.twin.placement import Chain, chains, role_of
from intaglio.twin.quantizers import ActivationQuantizer

_CARRY = (nn.MaxPool1d, nn.MaxPool2d, nn.Flatten, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d)


def unrectified_chains(gm: GraphModule, select: str | Iterable[str]) -> list[Chain]:
    """The chains that start at a selected module, without those that a batch norm or Hardtanh follows."""
    found: list[Chain] = []
    for chain in chains(gm):
        start = module_of(gm, chain.start)
        chosen = start is not None and matches(str(chain.start.target), start, select)
        if chosen and not _feeds_norm(gm, chain.quantizer or chain.end):
            found.append(chain)
    return found


def replace_rectifiers(gm: GraphModule, found: Sequence[Chain], quantizers: Sequence[ActivationQuantizer]) -> None:
    """Put one quantiser at the end of each chain, and take the clips away that are before and behind it."""
    placed: set[Node] = set()
    for chain, quantizer in zip(found, quantizers, strict=True):
        if chain.quantizer is None:
            placed.add(insert_after(gm, chain.end, f"{chain.end.target}_quantizer", quantizer))
        else:
            gm.set_submodule(str(chain.quantizer.target), quantizer)
            placed.add(chain.quantizer)
        for node in chain.nodes:
            _erase_clip(gm, node)
    for node in carried(gm, placed):
        for user in list(node.users):
            _erase_clip(gm, user)
    gm.graph.lint()
    gm.delete_all_unused_submodules()
    gm.recompile()


def require_in_place(
    gm: GraphModule, select: str | Iterable[str], kind: type[ActivationQuantizer], method: str
) -> None:
    """StructureError unless every selected chain ends with a quantiser of this kind."""
    for chain in unrectified_chains(gm, select):
        if chain.quantizer is None or not isinstance(module_of(gm, chain.quantizer), kind):
            raise StructureError(
                f"{chain.start.target}: its {kind.__name__} is gone, and so is the ReLU that was there; a later "
                f"method replaced it: put that method before {method}, or leave the layer out with `select`"
            )


def unclipped(gm: GraphModule, chain: Chain) -> Node:
    """The node of a chain whose values no clip has touched yet."""
    clips = [node for node in chain.nodes if isinstance(module_of(gm, node), nn.ReLU | nn.Hardtanh)]
    return clips[0].all_input_nodes[0] if clips else chain.end


def carried(gm: GraphModule, sources: set[Node], borders: Sequence[float] = ()) -> set[Node]:
    """`sources` and the nodes that only pass on their values: pools, reshapes, and constant borders of these values."""
    found = set(sources)
    for node in gm.graph.nodes:
        module = module_of(gm, node)
        carries = is_reshape(node) or isinstance(module, _CARRY)
        carries = carries or (isinstance(module, nn.ConstantPad1d | nn.ConstantPad2d) and module.value in borders)
        if carries and node.all_input_nodes[0] in found:
            found.add(node)
    return found


def _feeds_norm(gm: GraphModule, node: Node) -> bool:
    for user in node.users:
        role = role_of(gm, user)
        if role == "either" or (role in ("passive", "follow") and _feeds_norm(gm, user)):
            return True
    return False


def _erase_clip(gm: GraphModule, node: Node) -> None:
    if isinstance(module_of(gm, node), nn.ReLU | nn.Hardtanh):
        node.replace_all_uses_with(node.all_input_nodes[0])
        gm.graph.erase_node(node)
