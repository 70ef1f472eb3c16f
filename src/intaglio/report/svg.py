"""Inline SVG whose horizontal coordinates are percentages: it fits any width and its text never shrinks."""

from collections.abc import Iterable

from markupsafe import Markup, escape

Attribute = str | float | int


def element(tag: str, *children: str, **attributes: Attribute) -> Markup:
    """An element; `_` in attribute names stands for `-`, a trailing one is dropped, text is escaped."""
    pairs = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    inside = Markup("").join(children)
    return Markup("<{0}{1}>{2}</{0}>").format(
        Markup(tag), Markup("").join(Markup(' {}="{}"').format(Markup(k), v) for k, v in pairs), inside
    )


def at(fraction: float) -> str:
    """A fraction of the width as a coordinate."""
    return f"{100 * fraction:.2f}%".replace(".00%", "%")


def canvas(height: float, shapes: Iterable[Markup], label: str, class_: str = "") -> Markup:
    """An SVG as wide as its place; `label` tells what it shows to those who do not see it."""
    return element(
        "svg", *shapes, class_=f"canvas {class_}".strip(), height=height, role="img", aria_label=label
    )


def rect(x: float, y: float, width: float, height: float, class_: str, tip: str = "") -> Markup:
    """A rectangle; x and width are fractions, y and height pixels. `tip` appears under the pointer."""
    shape = {"x": at(x), "y": round(y, 2), "width": at(width), "height": round(height, 2), "class_": class_}
    return element("rect", *_tip(tip), **shape)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A line; x is a fraction, y pixels."""
    return element("line", x1=at(x1), y1=round(y1, 2), x2=at(x2), y2=round(y2, 2), class_=class_)


def dot(x: float, y: float, radius: float, class_: str, tip: str = "") -> Markup:
    """A circle; x is a fraction, y and radius pixels."""
    return element("circle", *_tip(tip), cx=at(x), cy=round(y, 2), r=radius, class_=class_)


def label(x: float, y: float, words: str, anchor: str = "middle", class_: str = "tick") -> Markup:
    """Text; x is a fraction, y pixels."""
    return element("text", escape(words), x=at(x), y=round(y, 2), text_anchor=anchor, class_=class_)


def edge_anchor(x: float) -> str:
    """The anchor that keeps a label inside the picture."""
    return "start" if x < 0.04 else "end" if x > 0.96 else "middle"


def row(name: str, about: str, picture: Markup, value: str) -> Markup:
    """A line of a figure: what it is, the picture, its number."""
    cells = (
        element(
            "div", escape(name), element("small", escape(about)) if about else Markup(""), class_="row-name"
        ),
        element("div", picture, class_="row-picture"),
        element("div", escape(value), class_="row-value"),
    )
    return element("div", *cells, class_="row")


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers in [low, high]."""
    if high <= low:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** _exponent(raw)
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw)
    first = int(-(-low // step))
    return [round(i * step, 10) for i in range(first, int(high // step) + 1)]


def _exponent(value: float) -> int:
    return int(f"{value:e}".rpartition("e")[2])


def _tip(text: str) -> tuple[Markup, ...]:
    return (element("title", escape(text)),) if text else ()
