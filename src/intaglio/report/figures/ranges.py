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
    size = max(high - low, 1)
    seen = [(v - low) / size for v in r.seen]
    tip = f"{r.name}: seen {number(r.seen[0])} to {number(r.seen[1])}, proved {number(low)} to {number(high)}"
    shapes = [
        rect(0, 0, 1, 20, "idle", tip),
        rect(seen[0], 0, max(seen[1] - seen[0], 0.003), 20, "interval", tip),
        *_bars(r.counts),
    ]
    if low < 0 < high:
        shapes.append(line(-low / size, 0, -low / size, 20, "axis"))
        shapes.append(label(-low / size, 31, "0"))
    shapes += [label(0, 31, number(low), "start"), label(1, 31, number(high), "end")]
    used = (r.seen[1] - r.seen[0]) / size
    return row(r.name, f"{r.bits} bits proved", canvas(HEIGHT, shapes, tip), f"{used:.0%}")


def _bars(counts: Sequence[int]) -> list[Markup]:
    top = max(counts, default=0)
    width = 1 / max(len(counts), 1)
    heights = [(i, max(20 * (c / top) ** 0.5, 1.0)) for i, c in enumerate(counts) if c]
    return [rect(i * width, 20 - h, width, h, "bar") for i, h in heights]
