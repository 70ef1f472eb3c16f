"""The area model, the choice of folding and the figure of `benchmarks.throughput_by_width`."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import throughput_by_width as bench
from benchmarks import width_figure, width_model
from benchmarks.width_model import Choice, Core, Ecp5, Lane, Layer, Network, Option, Use, Zynq, front
from intaglio.hardware.design import Fold

ROOT = Path(__file__).resolve().parent.parent
LANE = Lane({8: (16.0, 40.0), 32: (32.0, 160.0)})


@pytest.fixture(autouse=True, scope="module")
def random_images():
    """In the place of MNIST."""
    before = bench.images
    pixels = torch.rand(64, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    bench.images = lambda: pixels
    bench.network.cache_clear()
    yield
    bench.images = before
    bench.network.cache_clear()


def layer(inputs=64, outputs=32, weight_bits=1, in_bits=1):
    return Layer("fc", inputs, outputs, Core(in_bits, weight_bits, 10), ())


def test_block_rams_are_those_that_yosys_takes():
    # (width, depth): block RAMs of designs that were synthesised
    seen = {(256, 3136): 50, (256, 6272): 93, (128, 2048): 15, (1024, 784): 57, (256, 1024): 15, (4, 2560): 1}
    assert {shape: width_model.blocks(*shape)[0] for shape in seen} == seen
    assert width_model.blocks(36, 512) == (1, 0.0)
    assert width_model.blocks(36, 513)[0] == 2
    assert width_model.blocks(252, 3584) == (49, pytest.approx(0.85 * 6 * 252))


def test_memories_in_logic():
    assert [width_model.rom(10, depth) for depth in (1, 16, 17, 33)] == [0, 10, 30, 50]
    assert width_model.rom(100, 2) == 4  # there are but four columns of two bits
    assert width_model.ram(5, 16) == 8
    assert width_model.ram(4, 32) == 12


def test_a_lane_is_interpolated_per_multiplication_and_kept_outside():
    assert LANE.use(8) == Use(16.0, 40.0)
    assert LANE.use(16) == Use(pytest.approx(24.0), pytest.approx(80.0))
    assert LANE.use(128) == Use(pytest.approx(128.0), pytest.approx(640.0))
    rows = [{"lane": "a", "simd": 8, "bound": True, "lut4_eq": 30, "acc_bits": 10, "ff": 70}]
    rows += [{**rows[0], "bound": False, "lut4_eq": 1}, {**rows[0], "placed": True, "lut4_eq": 1}]
    assert width_model.lanes(rows) == {"a": Lane({8: (20, 50)})}


def test_what_is_counted_of_a_layer():
    # 8 x 4 products: weights 64 words of 32 bits (a block RAM), inputs 16 words of 8 bits (2 cells of 4 bits)
    use = width_model.counted(layer(), Fold(8, 4), LANE)
    assert use == Use(4 * (16 + 10) + 8, 4 * (40 + 10) + 32 + 2 * 8, 1)


def test_tables_of_a_carved_network_are_those_of_its_design():
    net = bench.network("W4A4")
    folds = bench.folding("W4A4", ((16, 16), (64, 2), (64, 2), (4, 1)))
    design = net.design(folds)
    for mine in net.layers:
        stages = next(unit.stages for unit in design.units if unit.name == mine.name)
        (weights,) = design.plans[mine.name].memories
        fold, tables = folds[mine.name], [*getattr(stages[3], "tables", ())] if len(stages) > 3 else []
        assert weights.depth == mine.inputs * mine.outputs // (fold.simd * fold.pe)
        assert weights.width == fold.simd * fold.pe * mine.core.weight_bits
        expected = [(fold.pe, t.width // fold.pe, t.depth, t.in_block_ram()) for t in tables]
        assert mine.tables(fold) == expected or not tables


def test_the_fit_finds_the_coefficients_it_was_made_with():
    rng = np.random.default_rng(0)
    rows = [(f, 50.0, 50.0 + f @ [2.0, 0.0, 0.5]) for f in rng.uniform(1, 9, (6, 3))]
    assert width_model.fitted(rows) == pytest.approx([2.0, 0.0, 0.5], abs=1e-9)


def test_finn_r_formula():
    # 8 bits, 32 lanes: 1.1 * (32 * 5 * 16 + 16 * 63 + acc) + 300; acc = 16 + 6
    logic, _, dsp, _ = Zynq().uses(layer(64, 32, 8, 8), Fold(32, 1))
    assert logic.lut == pytest.approx(300 + 1.1 * (2560 + 1008 + 22))
    assert (dsp.lut, dsp.dsp) == (pytest.approx(300 + 1.1 * (1008 + 22)), 16)
    assert Zynq().uses(layer(64, 32, 4, 4), Fold(32, 1))[2].dsp == 8
    assert len(Zynq().uses(layer(64, 32, 1, 1), Fold(32, 1))) == 2


def test_only_what_nothing_beats_is_kept():
    uses = [Use(10, 0, 1), Use(5, 0, 2), Use(10, 0, 2), Use(5, 0, 2)]
    kept = front(Option(Fold(), 1, use) for use in uses)
    assert [option.use for option in kept] == [Use(5, 0, 2), Use(10, 0, 1)]


def test_the_fastest_folding_within_limits_is_exact():
    net = bench.network("W1A1")

    def uses(layer: Layer, fold: Fold) -> list[Use]:
        return [Use(fold.simd * fold.pe)]

    macs = [la.inputs * la.outputs for la in net.layers]
    for limit in (200, 3000):
        choice = net.fastest(uses, Use(limit))
        assert choice.use.lut <= limit
        assert choice.bound == net.design(choice.folding).interval
        shorter = [min(f.simd * f.pe for f, c in folds if c < choice.bound) for folds in net.folds.values()]
        assert sum(shorter) > limit
        assert choice.bound >= sum(macs) / limit
    with pytest.raises(ValueError, match="limits"):
        net.fastest(uses, Use(3))


def test_every_resource_limits():
    net = bench.network("W1A1")
    logic = net.fastest(Zynq().uses, Use(60_000, 0, 10**6, 0))
    memory = net.fastest(Zynq().uses, Use(60_000, 0, logic.use.bram - 1, 0))
    assert memory.use.bram < logic.use.bram and memory.bound >= logic.bound
    model = Ecp5(LANE, [0.0] * 6, [0, 0, 0, 0, 0, 10.0])
    free = net.fastest(model.uses, Use(9_000, 10**6, 208))
    tight = net.fastest(model.uses, Use(9_000, free.use.ff / 2, 208))
    assert tight.bound > free.bound and tight.use.ff <= free.use.ff / 2


def test_rows_of_the_model_hold_exact_cycles():
    folds = bench.folding("W2A2", ((98, 4), (64, 2), (64, 2), (4, 1)))
    row = bench.modelled("W2A2", "ZU7EV", Choice(folds, 640, Use(1.0)), 200.0, "", Use())
    assert row["interval"] == 640 and row["images_per_second"] == pytest.approx(200e6 / 640)
    assert row["input_gb_per_s"] == pytest.approx(200e6 / 640 * 784 * 2 / 8 / 1e9)


def test_the_formats_have_the_bits_that_they_say():
    for name in bench.RECIPES:
        weights, activations = (int(n) for n in name[1:].split("A"))
        for number, mine in enumerate(Network(bench.network(name).graph).layers):
            assert (mine.core.weight_bits, mine.core.in_bits) == (weights, activations), (name, number)
        assert bench.network(name).graph.input_types[0].bits == activations
        assert bench.LANES[name] in {row["lane"] for row in record("area_per_mac")["figures"]}


def record(name):
    return bench.json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


def row(kind, name, rate, **more):
    common = {"kind": kind, "format": name, "device": "ECP5-85F", "images_per_second": rate, "interval": 8}
    return common | more


ROWS = [
    *(row("model", name, rate) for name, rate in (("W8A8", 1e5), ("W4A4", 4e5), ("W2A2", 8e5), ("W1A1", 4e6))),
    row("placed", "W1A1", 2e6, share=0.21, bram_share=0.4, graph_rtl=0, simulated_interval=8),
    row("held_out", "W1A1", 0, error={"lut4_eq": 0.05}), row("calibration", "W1A1", 0, error={"lut4_eq": 0.5}),
    row("cpu", "int8", 9e5, batch=512), row("cpu", "int8", 1e4, batch=1), row("cpu", "int8", 8e5, batch=64),
]  # fmt: skip


def test_targets_see_errors_and_steps_down():
    met = {target.claim: target.met for target in bench.targets(ROWS)}
    assert met["held-out error of LUT4-eq, worst"] and met["integers and intervals that differ in simulation"]
    assert met["ECP5-85F: least gain of halving the bits"] is True and met["placed designs"] is False
    worse = [{**r, "graph_rtl": 1, "error": {"lut4_eq": -0.3}} for r in ROWS]
    worse[1] = {**worse[1], "images_per_second": 9e4}
    assert not any(target.met for target in bench.targets(worse))


def test_what_is_missing_is_what_has_no_row():
    kind, name, folds = bench.missing([])[0]
    left = bench.missing([{"kind": kind, "format": name, "folding": [list(fold) for fold in folds]}])
    assert len(left) == len(bench.missing([])) - 1 and (kind, name, folds) not in left


def test_places_in_the_figure():
    assert width_figure.across(8) < width_figure.across(4) < width_figure.across(2) < width_figure.across(1)
    assert width_figure.across(4) - width_figure.across(8) == pytest.approx(
        width_figure.across(1) - width_figure.across(2)
    )
    assert width_figure.bits("W4A8") == pytest.approx(32**0.5)
    scale = width_figure.Scale([2e4, 3e6])
    assert [scale(10.0**n) for n in (4, 7)] == [width_figure.BOTTOM, width_figure.TOP]
    assert [width_figure.short(n) for n in (12.361e6, 640e3, 12)] == ["12.4 M", "640 k", "12"]


def test_labels_keep_their_distance_and_their_order():
    assert width_figure.apart([0, 100], 10) == [0, 100]
    assert width_figure.apart([52, 50, 50], 10) == pytest.approx([60.67, 40.67, 50.67], abs=0.01)
    moved = width_figure.apart([0, 8, 16, 17, 60], 10)
    assert all(b - a >= 10 - 1e-9 for a, b in pairwise(moved)) and moved[-1] == 60


def test_the_figure_shows_every_row():
    picture = width_figure.draw(ROWS, ["a < b"])
    assert picture.count("<circle") == 4 and picture.count('stroke-dasharray="8 4"') == 1
    assert "21% LUT, 40% RAM" in picture and "CPU int8, batch 512: 900 k" in picture and "a &lt; b" in picture
    heights = [float(y) for y in re.findall(r'<circle[^>]*cy="([\d.]+)"', picture)]
    assert heights == sorted(heights, reverse=True)
    lower = width_figure.draw([replace_rate(r) for r in ROWS])
    assert lower != picture


def replace_rate(entry):
    return {**entry, "images_per_second": entry["images_per_second"] / 2}
