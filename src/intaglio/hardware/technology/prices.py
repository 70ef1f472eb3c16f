"""What the parts of a layer cost before anything is synthesised."""

from dataclasses import dataclass
from math import ceil

Linear = tuple[float, float]
"""LUT4 equivalents for each bit of the activation, and besides."""


@dataclass(frozen=True)
class Prices:
    """LUT4 equivalents of the parts of a layer: they rank plans and promise no area.

    multiplier_block, memory_block: what a block is worth, so that few are preferred. memory_shapes: width and depth of
    one; memory_bit: a bit of a constant memory in logic. listed_worth: the share of beats that may remain for a list
    of them to pay. product: an integer product, for each bit of the activation and bit of the weight; lane: and
    besides. binary, ternary: lanes of such weights; two_planes: of two values and zero; plane: of several bases, each.
    shifter: for each bit of the result and bit of the exponent; shared_shift: the same behind a whole row. layer:
    control; row: for each bit of its accumulator and what is behind it. pool: a pool, and for each lane and bit.
    """

    multiplier_block: float
    memory_block: float
    memory_shapes: tuple[tuple[int, int], ...]
    memory_bit: float
    listed_worth: float
    product: float
    lane: float
    binary: Linear
    ternary: Linear
    two_planes: Linear
    plane: Linear
    shifter: float
    shared_shift: float
    layer: float
    row: float
    pool: Linear

    def memory(self, width: int, depth: int, block: bool) -> float:
        """A constant memory of `depth` words of `width` bits, in block RAM or in logic."""
        if not block:
            return self.memory_bit * width * depth
        return self.memory_block * min(ceil(width / w) * ceil(depth / d) for w, d in self.memory_shapes)
