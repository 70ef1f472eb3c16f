"""Carving and folding: what is refused, what is chosen."""

from pathlib import Path

import numpy as np
import pytest
from support.check import check
from support.random_graphs import RandomGraph

from intaglio.hardware.carving import vector_order
from intaglio.hardware.design import Fold, carve
from intaglio.hardware.folding import carve_for_interval, fold_for_area, fold_for_interval, layer_options
from intaglio.ir import ops
from intaglio.ir.errors import DesignError
from intaglio.ir.graph import Builder, Graph
from intaglio.ir.types import Type


def small() -> Graph:
    """Convolution, pooling, flattening and a dense layer."""
    random, builder = np.random.default_rng(1), Builder()
    wire = builder.add("x", ops.Input(Type((2, 6, 6), (0, 15))))
    wire = builder.add("conv", ops.Conv2d(random.integers(-7, 8, (4, 2, 3, 3))), wire)
    wire = builder.add("q", ops.Requantize(np.ones(1), np.ones(1), 4, 0, 15), wire)
    wire = builder.add("pool", ops.MaxPool((2, 2), (2, 2), (0, 0)), wire)
    wire = builder.add("flat", ops.Reshape((16,)), wire)
    return builder.graph((builder.add("fc", ops.MatMul(random.integers(-7, 8, (5, 16))), wire),))


def test_a_fold_that_does_not_divide_is_refused() -> None:
    with pytest.raises(DesignError, match="conv: pe=3 does not divide 4"):
        carve(small(), {"conv": Fold(1, 3)})


def test_a_fold_of_an_unknown_layer_is_refused() -> None:
    with pytest.raises(DesignError, match="lacks: cnov"):
        carve(small(), {"cnov": Fold(1, 1)})


def test_a_pad_value_beyond_the_input_is_refused() -> None:
    builder = Builder()
    wire = builder.add("x", ops.Input(Type((1, 4, 4), (0, 3))))
    conv = ops.Conv2d(np.ones((1, 1, 3, 3)), padding=(1, 1), pad_value=-1)
    with pytest.raises(DesignError, match="pad value -1 does not fit"):
        carve(builder.graph((builder.add("conv", conv, wire),)))


def test_flattened_images_keep_the_stream_order() -> None:
    design = carve(small())
    assert design.output_orders[0].tolist() == list(range(5))
    assert vector_order(design.graph, 4).tolist() == np.arange(16).reshape(4, 2, 2).transpose(1, 2, 0).ravel().tolist()


@pytest.mark.parametrize("seed", range(12))
def test_folding_is_the_cheapest_that_keeps_the_interval(seed: int) -> None:
    graph = RandomGraph(seed).graph
    options = layer_options(graph)
    if not options:
        pytest.skip("this graph has no layer to fold")
    target = 3 * max(min(o.cycles for o in choices) for choices in options.values())
    choice = fold_for_interval(graph, target)
    assert choice.bound <= target
    assert choice.area == pytest.approx(sum(min(o.area for o in c if o.cycles <= target) for c in options.values()))
    assert carve_for_interval(graph, target).interval <= target


def test_the_area_budget_buys_the_shortest_interval() -> None:
    options = layer_options(small())
    budget = fold_for_interval(small(), 300).area
    best = fold_for_area(small(), budget)
    assert best.area <= budget
    faster = [i for i in sorted({o.cycles for c in options.values() for o in c}) if i < best.bound]
    affordable = [
        i
        for i in faster
        if all(min(o.cycles for o in c) <= i for c in options.values()) and fold_for_interval(small(), i).area <= budget
    ]
    assert not affordable


def test_lanes_without_multiplier_blocks_are_priced_as_what_they_are() -> None:
    """8 x 8 bits take more look-up tables than a block is worth: the same budget buys fewer lanes."""
    random, builder = np.random.default_rng(1), Builder()
    wire = builder.add("x", ops.Input(Type((16,), (0, 255))))
    graph = builder.graph((builder.add("fc", ops.MatMul(random.integers(-127, 128, (16, 16))), wire),))
    priced = {dsp: {o.fold: o.area for o in layer_options(graph, dsp)["fc"]} for dsp in (True, False)}
    assert all(priced[False][fold] > area for fold, area in priced[True].items())
    budget = fold_for_interval(graph, 16).area
    assert fold_for_area(graph, budget).bound == 16
    assert fold_for_area(graph, budget, dsp=False).bound > 16
    assert fold_for_area(graph, budget, dsp=False).area <= budget


def test_too_small_a_budget_says_by_how_much() -> None:
    with pytest.raises(DesignError, match="more than the budget of 10"):
        fold_for_area(small(), 10)


def test_too_short_an_interval_names_the_layer() -> None:
    with pytest.raises(DesignError, match="conv: cannot run in 1 cycles"):
        fold_for_interval(small(), 1)


@pytest.mark.parametrize(("span", "count"), [((-8, 7), 2), ((0, 15), 2), ((0, 4), 1), ((2, 5), 1)])
def test_thresholds_out_of_reach_are_dropped(span: tuple[int, int], count: int) -> None:
    builder = Builder()
    wire = builder.add("x", ops.Input(Type((2,), span)))
    graph = builder.graph((builder.add("t", ops.Threshold(np.array([[1, 5, 40]])), wire),))
    assert carve(graph).units[0].stages[0].count == count


def test_thresholds_that_no_true_sum_reaches_are_dropped_where_sums_exceed_the_true_ones(tmp_path: Path) -> None:
    weight = np.array([[-1, -2, -4, -8], [-8, -4, -2, -1]])  # shifted and complemented: every sum is 4 too small
    builder = Builder()
    wire = builder.add("m", ops.MatMul(weight), builder.add("x", ops.Input(Type((4,), (0, 3)))))
    wire = builder.add("t", ops.Threshold(np.array([[-40, -30, -20, 1, 2, 3, 4]])), wire)
    graph = builder.graph((wire,))
    stage = carve(graph, dsp=False).units[0].stages[-1]
    assert (stage.base, stage.count, stage.out.bits) == (0, 3, 2)
    inputs = np.random.default_rng(0).integers(0, 4, (8, 4))
    assert not check(graph, {}, inputs, tmp_path, dsp=False).problems


@pytest.mark.parametrize("weight", [0, 1])
@pytest.mark.parametrize("base", [-4, -1, 0, 5, 7])
@pytest.mark.parametrize("threshold", [0, 99])
def test_thresholds_that_no_input_changes(threshold: int, base: int, weight: int, tmp_path: Path) -> None:
    builder = Builder()
    wire = builder.add("m", ops.MatMul(np.array([[0, weight]])), builder.add("x", ops.Input(Type((2,), (0, 3)))))
    graph = builder.graph((builder.add("t", ops.Threshold(np.array([[threshold, 99, 99]]), base), wire),))
    inputs = np.array([[0, 0], [3, 3], [1, 2]])
    assert not check(graph, {}, inputs, tmp_path, dsp=False).problems


def test_a_threshold_out_of_reach_in_one_channel_only_is_refused() -> None:
    builder = Builder()
    wire = builder.add("x", ops.Input(Type((2,), (0, 15))))
    graph = builder.graph((builder.add("t", ops.Threshold(np.array([[5, 6], [5, 40]])), wire),))
    with pytest.raises(DesignError, match="t: a threshold of some channels"):
        carve(graph)
