"""Who works when: each unit's frames in time, and its busy, stalled and idle share of the interval."""

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from intaglio.report.data import UnitRow
from intaglio.report.svg import canvas, edge_anchor, element, label, line, rect, row, ticks
from intaglio.report.text import number

HEIGHT = 26


def occupancy(units: Sequence[UnitRow], interval: int | None) -> Markup:
    """Rows of spans over a common time axis, then rows of shares."""
    if not units:
        return Markup("")
    return Markup("").join(filter(None, (_timeline(units), _shares(units, interval))))


def _timeline(units: Sequence[UnitRow]) -> Markup:
    end = max((span.stop for unit in units for span in unit.spans), default=0)
    if not end:
        return Markup("")
    grid = [t / end for t in ticks(0, end)]
    rows = [_lane(unit, end, grid) for unit in units]
    marks = [label(t, 13, number(round(t * end)), edge_anchor(t)) for t in grid]
    rows.append(row("", "", canvas(18, marks, "time in cycles"), "cycles"))
    return element("div", *rows, class_="figure", id="timeline")


def _lane(unit: UnitRow, end: int, grid: Iterable[float]) -> Markup:
    shapes = [line(t, 0, t, HEIGHT, "grid") for t in grid]
    for span in unit.spans:
        tip = f"{unit.name}, frame {span.frame}: cycles {number(span.start)} to {number(span.stop)}"
        width = max((span.stop - span.start) / end, 0.002)
        shapes.append(rect(span.start / end, 5, width, HEIGHT - 10, f"frame frame-{span.frame % 3}", tip))
    value = number(unit.cycles) if unit.spans else "–"
    return row(unit.name, unit.kind, canvas(HEIGHT, shapes, f"{unit.name}: cycles in which it works"), value)


def _shares(units: Sequence[UnitRow], interval: int | None) -> Markup:
    busiest = max(unit.busy for unit in units)
    rows = [_share(unit, interval, unit.busy == busiest) for unit in units]
    return element("div", _hatch(), *rows, class_="figure", id="shares")


def _share(unit: UnitRow, interval: int | None, slowest: bool) -> Markup:
    of = f" of {number(interval)} cycles" if interval else ""
    shapes = [
        rect(0, 6, 1, HEIGHT - 12, "idle", f"{unit.name}: idle {1 - unit.busy - unit.stalled:.1%}{of}"),
        rect(
            0,
            6,
            unit.busy,
            HEIGHT - 12,
            "busy slowest" if slowest else "busy",
            f"{unit.name}: busy {unit.busy:.1%}{of}",
        ),
    ]
    if unit.stalled > 0:
        tip = f"{unit.name}: stalled {unit.stalled:.1%}{of}"
        shapes.append(rect(unit.busy, 6, unit.stalled, HEIGHT - 12, "stalled", tip))
    words = f"{unit.name}: busy {unit.busy:.0%}, stalled {unit.stalled:.0%}"
    return row(unit.name, f"{number(unit.cycles)} cycles", canvas(HEIGHT, shapes, words), f"{unit.busy:.0%}")


def _hatch() -> Markup:
    stroke = element("line", x1=0, y1=0, x2=0, y2=5, class_="hatch-line")
    turned = {"patternUnits": "userSpaceOnUse", "patternTransform": "rotate(45)"}
    pattern = element("pattern", stroke, id="hatch", width=5, height=5, **turned)
    return element(
        "svg", element("defs", pattern), width=0, height=0, style="position:absolute", aria_hidden="true"
    )
