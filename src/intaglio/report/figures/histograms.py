"""Histograms of the integer weights, one small picture per layer."""

from collections.abc import Sequence

from markupsafe import Markup, escape

from intaglio.report.data import Histogram
from intaglio.report.svg import canvas, element, label, line, rect
from intaglio.report.text import number

HEIGHT = 84


def histograms(rows: Sequence[Histogram]) -> Markup:
    """Small multiples; each has its own vertical scale, set by its largest bar that is not zero."""
    if not rows:
        return Markup("")
    return element("div", *(_one(r) for r in rows), class_="multiples", id="weights")


def _one(r: Histogram) -> Markup:
    total, step = sum(r.counts), (r.high - r.low) / max(len(r.counts), 1)
    shapes = [
        *_bars(r, step, total),
        line(0, HEIGHT, 1, HEIGHT, "axis"),
        label(0, HEIGHT + 14, _end(r.low, step, up=True), "start"),
        label(1, HEIGHT + 14, _end(r.high, step, up=False), "end"),
    ]
    caption = element(
        "figcaption", escape(r.name), element("small", escape(r.note or f"{number(total)} weights"))
    )
    return element("figure", caption, canvas(HEIGHT + 18, shapes, f"weights of {r.name}"))


def _bars(r: Histogram, step: float, total: int) -> list[Markup]:
    width = 1 / max(len(r.counts), 1)
    zero = next((i for i in range(len(r.counts)) if step == 1 and r.low + (i + 0.5) * step == 0), None)
    top = max((c for i, c in enumerate(r.counts) if i != zero), default=0) or max(r.counts, default=0)
    shapes: list[Markup] = []
    for i, count in enumerate(r.counts):
        if count:
            height = min(max(0.85 * HEIGHT * count / top, 1.0), HEIGHT)
            tip = f"{_bin(r.low + i * step, step)}: {number(count)} of {number(total)}"
            kind = "bar zero" if i == zero else "bar"
            shapes.append(rect((i + 0.06) * width, HEIGHT - height, 0.88 * width, height, kind, tip))
    return shapes


def _bin(start: float, step: float) -> str:
    """One value for a bin around an integer, otherwise its two ends."""
    middle = start + step / 2
    return (
        number(middle)
        if step == 1 and middle == int(middle)
        else f"{number(start)} to {number(start + step)}"
    )


def _end(value: float, step: float, up: bool) -> str:
    inner = value + (step if up else -step) / 2
    return number(inner if step == 1 and inner == int(inner) else value)
