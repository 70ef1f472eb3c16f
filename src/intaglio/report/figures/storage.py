"""What each layer stores, as encoded, beside the same weights as 32-bit floats."""

from collections.abc import Sequence

from markupsafe import Markup

from intaglio.report.data import LayerRow
from intaglio.report.svg import canvas, element, rect, row
from intaglio.report.text import number, storage

HEIGHT = 26


def storages(layers: Sequence[LayerRow]) -> Markup:
    """One line per layer with weights; a full line is the largest layer's float size."""
    kept = [(layer, layer.weights, layer.bits) for layer in layers if layer.weights and layer.bits]
    if not kept:
        return Markup("")
    largest = max(max(32 * weights, bits) for _, weights, bits in kept)
    rows = [_row(layer, weights, bits, largest) for layer, weights, bits in kept]
    return element("div", *rows, class_="figure", id="storage")


def _row(layer: LayerRow, weights: int, bits: int, largest: int) -> Markup:
    float_bits = 32 * weights
    shapes = [
        rect(
            0, 6, float_bits / largest, HEIGHT - 12, "idle", f"{layer.name} as float32: {storage(float_bits)}"
        ),
        rect(
            0,
            6,
            max(bits / largest, 0.002),
            HEIGHT - 12,
            "busy",
            f"{layer.name}: {storage(bits)}, {layer.encoding}",
        ),
    ]
    words = f"{layer.name}: {storage(bits)} instead of {storage(float_bits)}"
    about = f"{number(weights)} weights" + (f", {layer.zeros / weights:.0%} zero" if layer.zeros else "")
    return row(layer.name, about, canvas(HEIGHT, shapes, words), storage(bits))
