"""fuse_requantize: two Requantize in a row become one."""

import numpy as np

from intaglio.ir.affine import Pair, spread
from intaglio.ir.errors import IntaglioError
from intaglio.ir.graph import Builder, Graph, derive
from intaglio.ir.ops import Requantize
from intaglio.ir.passes.rebuild import rebuild
from intaglio.ir.types import MAX_BITS, Array, Type


def fuse_requantize(graph: Graph) -> Graph:
    """Merge r2(r1(x)) where one floor suffices and the clip of r1 can be moved behind r2, exactly.

    Floors: r1 does not shift, or r2 does not multiply: ((A >> s) + o) >> t = (A + (o << s)) >> (s + t).
    Clip: r2 is monotone, g(clip(y, l, h)) = clip(g(y), g(l), g(h)); the bounds must come out alike for all
    channels, for a Requantize has one pair. Where the clip of r1 never binds nothing needs to be moved.
    Only when nothing else reads r1.
    """

    def rule(builder: Builder, position: int, inputs: tuple[int, ...]) -> int | None:
        node = graph.nodes[position]
        if not isinstance(node.op, Requantize):
            return None
        source = node.inputs[0]
        first = builder.nodes[inputs[0]]
        if source in graph.outputs or len(graph.users(source)) > 1 or not isinstance(first.op, Requantize):
            return None
        fused = fuse(first.op, node.op, builder.type(first.inputs[0]))
        return None if fused is None else builder.add(node.name, fused, *first.inputs)

    return rebuild(graph, rule)


def fuse(first: Requantize, second: Requantize, x: Type) -> Requantize | None:
    """The Requantize that equals second(first(x)) for every x of that Type, or None."""
    composed = _composed(first, second)
    if composed is None:
        return None
    bounds = _bounds(first, second, composed, x.range)
    if bounds is None:
        return None
    fused = Requantize(composed.multiplier, composed.offset, composed.shift, *bounds, second.scale)
    try:
        derive("fused", fused, [x])
    except IntaglioError:
        return None
    return fused


def as_array(values: tuple[int, ...]) -> Array:
    """Integers of any size as an array that Requantize checks."""
    return np.array(values, dtype=object)


def _composed(first: Requantize, second: Requantize) -> Requantize | None:
    """The two without the clip of the first; None when one floor does not do."""
    shift = first.shift + second.shift
    if shift > MAX_BITS or (first.shift and any(m != 1 for m, _ in second.pairs())):
        return None
    channels = max(first.channels, second.channels)
    pairs = zip(spread(first.pairs(), channels), spread(second.pairs(), channels), strict=True)
    merged = [(m1 * m2, o1 * m2 + (o2 << first.shift)) for (m1, o1), (m2, o2) in pairs]
    try:
        multiplier, offset = zip(*merged, strict=True)
        return Requantize(
            as_array(multiplier), as_array(offset), shift, second.low, second.high, second.scale
        )
    except IntaglioError:
        return None


def _bounds(first: Requantize, second: Requantize, composed: Requantize, interval: Pair) -> Pair | None:
    """The one clip that does for both; None when channels differ or the second one is not increasing."""
    channels = composed.channels
    before = spread(first.unclipped(interval), channels)
    after = [_clip(second, low, high) for low, high in composed.unclipped(interval)]
    lows = [(low < first.low, pair[0]) for (low, _), pair in zip(before, after, strict=True)]
    highs = [(high > first.high, pair[1]) for (_, high), pair in zip(before, after, strict=True)]
    if not any(binds for binds, _ in lows + highs):
        return second.low, second.high
    if any(m <= 0 for m, _ in second.pairs()):
        return None
    images = [
        _clip(second, low, high) for low, high in spread(second.unclipped((first.low, first.high)), channels)
    ]
    low = _common([(b, image[0], end) for (b, end), image in zip(lows, images, strict=True)], second.low, 1)
    high = _common(
        [(b, image[1], end) for (b, end), image in zip(highs, images, strict=True)], second.high, -1
    )
    return None if low is None or high is None or low > high else (low, high)


def _clip(op: Requantize, low: int, high: int) -> Pair:
    return min(max(low, op.low), op.high), min(max(high, op.low), op.high)


def _common(sides: list[tuple[bool, int, int]], bound: int, sign: int) -> int | None:
    """One bound for all channels (binds, image of the bound of the first, end that is reached without it).

    Binding channels need exactly their image; the others must not be touched by it.
    """
    needed = {image for binds, image, _ in sides if binds}
    if not needed:
        return bound
    if len(needed) > 1:
        return None
    value = needed.pop()
    free = all(sign * end >= sign * value for binds, _, end in sides if not binds)
    return value if free else None
