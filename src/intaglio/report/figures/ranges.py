"""What a wire may carry and what it did carry: observed values within the proved range."""

from collections.abc import Sequence

from markupsafe import Markup

from intaglio.report.data import RangeRow
from intaglio.report.svg import canvas, element, label, line, rect, row
from intaglio.report.text import number

HEIGHT = 34


def ranges(rows: Sequence[RangeRow]) -> Markup:
    """One line per wire, as wide as its proved range; bars show how often values occurred."""
    if not rows:
        return Markup("")
    return element("div", *(_row(r) for r in rows), class_="figure", id="ranges")


def _row(r: RangeRow) -> Markup:
    low, high = r.proved
    size = high - low + 1  # from low - 1/2 to high + 1/2, as the bins
    first, last = (r.seen[0] - low) / size, (r.seen[1] - low + 1) / size
    zero = (0.5 - low) / size
    tip = f"{r.name}: seen {number(r.seen[0])} to {number(r.seen[1])}, proved {number(low)} to {number(high)}"
    shapes = [
        rect(0, 0, 1, 20, "idle", tip),
        rect(first, 0, max(last - first, 0.003), 20, "interval", tip),
        *_bars(r.counts),
    ]
    if low < 0 < high:
        shapes.append(line(zero, 0, zero, 20, "axis"))
        shapes.append(label(zero, 31, "0"))
    shapes += [label(0, 31, number(low), "start"), label(1, 31, number(high), "end")]
    return row(r.name, f"{r.bits} bits proved", canvas(HEIGHT, shapes, tip), f"{last - first:.0%}")


def _bars(counts: Sequence[int]) -> list[Markup]:
    top = max(counts, default=0)
    width = 1 / max(len(counts), 1)
    heights = [(i, max(20 * (c / top) ** 0.5, 1.0)) for i, c in enumerate(counts) if c]
    return [rect(i * width, 20 - h, width, h, "bar") for i, h in heights]
