"""The accuracy of every network of the run on one axis: each seed, their mean, and its 95 % interval."""

from collections.abc import Sequence
from math import sqrt

from markupsafe import Markup

from intaglio.report.data import Accuracy
from intaglio.report.svg import canvas, dot, edge_anchor, element, label, line, rect, row, ticks
from intaglio.report.text import number

HEIGHT = 30
Z = 1.96


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % Wilson interval of a share seen on n samples (Wilson 1927): sound near 0 and 1."""
    centre = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def accuracies(rows: Sequence[Accuracy]) -> Markup:
    """One line per network; the axis covers what is shown, not 0 to 100."""
    if not rows:
        return Markup("")
    spans = [tuple(100 * v for v in wilson(r.mean / 100, r.n)) for r in rows]
    low, high = _limits([v for r, span in zip(rows, spans, strict=True) for v in (*r.values, *span)])
    grid = [(t, (t - low) / (high - low)) for t in ticks(low, high)]
    lines = [_line(r, span, low, high, [x for _, x in grid]) for r, span in zip(rows, spans, strict=True)]
    marks = [label(x, 13, f"{t:g}", edge_anchor(x)) for t, x in grid]
    return element(
        "div", *lines, row("", "", canvas(18, marks, "percent right"), "%"), class_="figure", id="accuracy"
    )


def _limits(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = max((high - low) * 0.06, 0.05)
    return max(0.0, low - margin), min(100.0 + margin / 2, high + margin)


def _line(r: Accuracy, span: tuple[float, ...], low: float, high: float, grid: Sequence[float]) -> Markup:
    def x(value: float) -> float:
        return (value - low) / (high - low)

    y = HEIGHT / 2
    shapes = [line(t, 0, t, HEIGHT, "grid") for t in grid]
    tip = f"95 % interval on {number(r.n)} samples: {span[0]:.2f} to {span[1]:.2f} %"
    shapes.append(rect(x(span[0]), y - 5, x(span[1]) - x(span[0]), 10, "interval", tip))
    names = r.seeds if len(r.seeds) == len(r.values) else range(len(r.values))
    shapes += [
        dot(x(v), y, 3.5, "seed", f"seed {s}: {v:.2f} %") for s, v in zip(names, r.values, strict=True)
    ]
    shapes.append(line(x(r.mean), y - 9, x(r.mean), y + 9, "mean"))
    about = f"{number(r.n)} samples" + (f", {len(r.values)} seeds" if len(r.values) > 1 else "")
    words = f"{r.name}: {r.mean:.2f} percent right, interval {span[0]:.2f} to {span[1]:.2f}"
    return row(r.name, about, canvas(HEIGHT, shapes, words), f"{r.mean:.2f}")
