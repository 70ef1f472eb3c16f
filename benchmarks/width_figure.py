"""The figure of `throughput_by_width`: images per second, by bits, on logarithmic axes; one SVG that stands alone."""

from collections.abc import Iterable, Mapping, Sequence
from math import ceil, floor, log2, log10
from typing import Any

from markupsafe import Markup, escape

from intaglio.report.svg import element

WIDTH, HEIGHT = 940, 656
LEFT, RIGHT, TOP, BOTTOM = 84, 690, 64, 486
GAP = 15  # pixels between the lines of two labels
BITS = (8, 4, 2, 1)
COLOURS = {"ZU7EV": "#7b3fa0", "ECP5-85F": "#0b6e99", "float32": "#666666", "int8": "#b35900", "cited": "#333333"}
STYLE = (
    "text{font:13px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;"
    "paint-order:stroke;stroke:#fff;stroke-width:4px;stroke-linejoin:round}"
    ".title{font-size:16px;font-weight:600}.small{font-size:12px}.grid{stroke:#e4e4e4}.axis{stroke:#888}"
)
Rows = Sequence[Mapping[str, Any]]


def across(bits: float) -> float:
    """Pixels from the left: 8 bits first, with a margin at both ends."""
    margin = 56
    return LEFT + margin + (3 - log2(bits)) / 3 * (RIGHT - LEFT - 2 * margin)


def bits(name: str) -> float:
    """Where a format stands: W4A8 between 4 and 8, at their geometric mean."""
    weights, activations = name[1:].split("A")
    return (int(weights) * int(activations)) ** 0.5


class Scale:
    """Whole decades around some rates."""

    def __init__(self, rates: Iterable[float]) -> None:
        logs = [log10(rate) for rate in rates]
        self.low, self.high = floor(min(logs)), ceil(max(logs))

    def __call__(self, rate: float) -> float:
        """Pixels from the top."""
        return BOTTOM - (log10(rate) - self.low) / (self.high - self.low) * (BOTTOM - TOP)

    @property
    def decades(self) -> range:
        """Exponents of ten."""
        return range(self.low, self.high + 1)


def apart(places: Sequence[float], gap: float = GAP) -> list[float]:
    """The places, moved as little as needed so that neighbours are at least `gap` apart; in the order given."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    groups: list[tuple[float, list[int]]] = []  # middle, members
    for i in order:
        groups.append((places[i], [i]))
        while len(groups) > 1 and _end(groups[-2], gap) > _start(groups[-1], gap) - gap:
            (_, a), (_, b) = groups[-2:]
            members = a + b
            groups[-2:] = [(sum(places[k] for k in members) / len(members), members)]
    found = [0.0] * len(places)
    for group in groups:
        for n, i in enumerate(group[1]):
            found[i] = _start(group, gap) + n * gap
    return found


def _start(group: tuple[float, list[int]], gap: float) -> float:
    return group[0] - gap * (len(group[1]) - 1) / 2


def _end(group: tuple[float, list[int]], gap: float) -> float:
    return group[0] + gap * (len(group[1]) - 1) / 2


def words(x: float, y: float, content: str, anchor: str = "start", class_: str = "", **style: str | float) -> Markup:
    """Text on a white halo."""
    named = {"class_": class_} if class_ else {}
    style = {"fill": "#555" if class_ == "small" else "#222"} | style
    return element("text", escape(content), x=round(x, 1), y=round(y, 1), text_anchor=anchor, **named, **style)


def line(x1: float, y1: float, x2: float, y2: float, **style: str | float) -> Markup:
    """A line."""
    return element("line", x1=round(x1, 1), y1=round(y1, 1), x2=round(x2, 1), y2=round(y2, 1), **style)


def short(rate: float) -> str:
    """Three digits and a unit: 12.3 M, 640 k."""
    for size, unit in ((1e6, " M"), (1e3, " k")):
        if rate >= size:
            return f"{rate / size:.3g}{unit}"
    return f"{rate:.3g}"


def axes(scale: Scale) -> list[Markup]:
    """Grid, ticks and what they are."""
    shapes: list[Markup] = []
    for power in scale.decades:
        y = scale(10.0**power)
        shapes += [line(LEFT, y, RIGHT, y, class_="grid"), words(LEFT - 10, y + 4, short(10.0**power), "end")]
    for n in BITS:
        shapes.append(line(across(n), TOP, across(n), BOTTOM, class_="grid"))
        shapes.append(words(across(n), BOTTOM + 20, f"{n} bit{'s' if n > 1 else ''}", "middle"))
    middle = (TOP + BOTTOM) / 2
    shapes.append(words(26, middle, "images per second", "middle", transform=f"rotate(-90 26 {middle})"))
    shapes.append(words((LEFT + RIGHT) / 2, BOTTOM + 42, "weights, activations and input, each of so many", "middle"))
    shapes.append(line(LEFT, BOTTOM, RIGHT, BOTTOM, class_="axis"))
    return shapes


def curve(rows: Rows, device: str, scale: Scale) -> list[Markup]:
    """The model of a device: a line through the formats of equal bits, diamonds beside it for mixed ones."""
    mine = [row for row in rows if row["kind"] == "model" and row["device"] == device]
    places = {row["format"]: (across(bits(row["format"])), scale(row["images_per_second"])) for row in mine}
    plain = [places[f"W{n}A{n}"] for n in BITS if f"W{n}A{n}" in places]
    colour = COLOURS[device]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in plain)
    shapes = [element("polyline", points=path, fill="none", stroke=colour, stroke_width=2)]
    for row in mine:
        x, y = places[row["format"]]
        tip = f"{row['format']} on {device}: {short(row['images_per_second'])} images/s, {row['interval']} cycles"
        title = element("title", escape(tip))
        if (x, y) in plain:
            shapes.append(element("circle", title, cx=round(x, 1), cy=round(y, 1), r=4, fill=colour))
            shapes.append(words(x, y - 9, short(row["images_per_second"]), "middle", fill=colour))
        else:
            points = f"{x:.1f},{y - 6:.1f} {x + 6:.1f},{y:.1f} {x:.1f},{y + 6:.1f} {x - 6:.1f},{y:.1f}"
            shapes.append(element("polygon", title, points=points, fill="#fff", stroke=colour, stroke_width=1.5))
            shapes.append(words(x + 9, y + 14, row["format"], class_="small"))
    return shapes


def placements(rows: Rows, scale: Scale) -> list[Markup]:
    """Squares: placed designs, with their share of the device."""
    shapes: list[Markup] = []
    colour = COLOURS["ECP5-85F"]
    whole = {row["images_per_second"] for row in rows if row["kind"] == "model"}
    for row in rows:
        if row["kind"] != "placed":
            continue
        x, y = across(bits(row["format"])), scale(row["images_per_second"])
        shapes.append(element("rect", x=round(x - 5, 1), y=round(y - 5, 1), width=10, height=10, fill="#fff",
                              stroke=colour, stroke_width=2))  # fmt: skip
        if row["images_per_second"] not in whole:
            shapes.append(words(x, y + 20, short(row["images_per_second"]), "middle", fill=colour))
        share = f"{row['share']:.0%} LUT, {row['bram_share']:.0%} RAM"
        shapes.append(words(x, y + (20 if row["images_per_second"] in whole else 35), share, "middle", "small"))
    return shapes


def cited(rows: Rows, scale: Scale) -> list[Markup]:
    """A triangle: published."""
    shapes: list[Markup] = []
    for row in rows:
        if row["kind"] == "cited":
            x, y = across(bits(row["format"])), scale(row["images_per_second"])
            points = f"{x:.1f},{y - 6:.1f} {x + 6:.1f},{y + 5:.1f} {x - 6:.1f},{y + 5:.1f}"
            shapes.append(element("polygon", points=points, fill=COLOURS["cited"]))
    return shapes


def processor(rows: Rows) -> list[tuple[float, str, str, str]]:
    """(rate, label, colour, dashes) of the processor's lines: one image at a time, and the best of all batches."""
    found: list[tuple[float, str, str, str]] = []
    for kind in ("float32", "int8"):
        mine = [row for row in rows if row["kind"] == "cpu" and row["format"] == kind]
        for alone, dashes in ((True, "2 4"), (False, "8 4")):
            chosen = [row for row in mine if (row["batch"] == 1) is alone]
            if chosen:
                best = max(chosen, key=lambda row: row["images_per_second"])
                rate = best["images_per_second"]
                found.append((rate, f"CPU {kind}, batch {best['batch']}: {short(rate)}", COLOURS[kind], dashes))
    return found


def margin(rows: Rows, scale: Scale) -> list[Markup]:
    """The processor's lines, and the names of all that ends at the right."""
    lines = processor(rows)
    shapes = [
        line(LEFT, scale(rate), RIGHT, scale(rate), stroke=colour, stroke_width=1.5, stroke_dasharray=dashes)
        for rate, _, colour, dashes in lines
    ]
    labels = [(rate, content, colour) for rate, content, colour, _ in lines]
    for device, about in (("ZU7EV", "whole ZU7EV, model"), ("ECP5-85F", "whole ECP5-85F, model")):
        rates = [r["images_per_second"] for r in rows if r["kind"] == "model" and r["device"] == device]
        labels += [(max(rates), about, COLOURS[device])] if rates else []
    labels += [(r["images_per_second"], f"FINN {r['network']}, {r['device']}: {short(r['images_per_second'])}",
                COLOURS["cited"]) for r in rows if r["kind"] == "cited"]  # fmt: skip
    placed = [r["images_per_second"] for r in rows if r["kind"] == "placed"]
    labels += [(max(placed), "part of ECP5-85F, placed", COLOURS["ECP5-85F"])] if placed else []
    for (_, content, colour), y in zip(labels, apart([scale(rate) for rate, *_ in labels]), strict=True):
        shapes.append(words(RIGHT + 10, y + 4, content, fill=colour))
    return shapes


def draw(rows: Rows, caption: Sequence[str] = ()) -> str:
    """The picture."""
    rates = [row["images_per_second"] for row in rows if row["kind"] in ("model", "placed", "cited")]
    scale = Scale([*rates, *(rate for rate, *_ in processor(rows))])
    title = "Throughput of SFC (784-256-256-256-10) by bits of weights and activations"
    shapes = [
        element("style", Markup(STYLE)),
        element("rect", width=WIDTH, height=HEIGHT, fill="#fff"),
        words(LEFT, 34, title, class_="title"),
        *axes(scale),
        *margin(rows, scale),
        *(shape for device in ("ZU7EV", "ECP5-85F") for shape in curve(rows, device, scale)),
        *placements(rows, scale),
        *cited(rows, scale),
        *(words(LEFT, BOTTOM + 72 + 17 * n, text, class_="small") for n, text in enumerate(caption)),
    ]
    return str(element("svg", *shapes, xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {HEIGHT}",
                       width=WIDTH, height=HEIGHT, role="img", aria_label=title)) + "\n"  # fmt: skip
