"""The cycle model against closed forms worked out by hand. Its agreement with simulation is in tests/end_to_end."""

import numpy as np
import pytest
from support.random_graphs import RandomGraph

from intaglio.hardware.design import Design, Fold, carve
from intaglio.hardware.timing import Unrolled, pace, schedule
from intaglio.ir import ops
from intaglio.ir.errors import DesignError
from intaglio.ir.graph import Builder, Graph
from intaglio.ir.types import Type


def dense(inputs: int, *outputs: int) -> Graph:
    """A chain of dense layers, each requantised to four bits."""
    random, builder = np.random.default_rng(0), Builder()
    wire = builder.add("x", ops.Input(Type((inputs,), (0, 15))))
    for number, size in enumerate(outputs):
        weight = random.integers(1, 8, (size, inputs)) * random.choice([-1, 1], (size, inputs))
        wire = builder.add(f"fc{number}", ops.MatMul(weight), wire)
        wire = builder.add(f"q{number}", ops.Requantize(np.ones(1), np.ones(1), 4, 0, 15), wire)
        inputs = size
    return builder.graph((wire,))


def convolution(height: int, width: int, stride: int = 1, padding: int = 0) -> Graph:
    """One 3 x 3 convolution from 2 to 4 channels."""
    builder, weight = Builder(), np.arange(1, 73).reshape(4, 2, 3, 3)
    wire = builder.add("x", ops.Input(Type((2, height, width), (0, 3))))
    conv = ops.Conv2d(weight, stride=(stride, stride), padding=(padding, padding))
    return builder.graph((builder.add("conv", conv, wire),))


def test_interval_of_a_dense_layer_is_its_folds() -> None:
    design = carve(dense(24, 8), {"fc0": Fold(simd=4, pe=2)})
    assert design.interval == (24 // 4) * (8 // 2)


def test_latency_of_a_dense_layer_is_load_plus_folds_plus_pipeline() -> None:
    design = carve(dense(24, 8), {"fc0": Fold(simd=4, pe=2)})
    load, compute = 24 // 4, (24 // 4) * (8 // 2)
    window, products, tree, accumulate, requantize, outlet = 2, 3, 1, 1, 4, 1
    assert design.latency == load + compute - 1 + window + products + tree + accumulate + requantize + outlet


def test_loading_bounds_a_layer_with_few_folds() -> None:
    design = carve(dense(24, 8), {"fc0": Fold(simd=1, pe=8), "x": Fold(1)})
    assert design.interval == 24


def test_interval_of_a_chain_is_that_of_its_slowest_layer() -> None:
    design = carve(dense(24, 8, 6), {"fc0": Fold(4, 2), "fc1": Fold(1, 1)})
    assert design.interval == max(24, 8 * 6)


@pytest.mark.parametrize(("stride", "padding", "pixels"), [(1, 0, 6 * 5), (1, 1, 8 * 7), (2, 1, 4 * 4)])
def test_interval_of_a_convolution_counts_padding_beats(stride: int, padding: int, pixels: int) -> None:
    design = carve(convolution(8, 7, stride, padding), {"conv": Fold(simd=1, pe=2)})
    assert design.interval == pixels * 9 * 2 * 2


def test_cycles_follow_the_listed_beats_of_a_sparse_layer() -> None:
    weight = np.zeros((4, 16), dtype=np.int64)
    weight[0, 3], weight[1, 9], weight[2, 9], weight[2, 15] = 1, 2, 3, 4
    builder = Builder()
    wire = builder.add("x", ops.Input(Type((16,), (0, 3))))
    graph = builder.graph((builder.add("fc", ops.MatMul(weight), wire),))
    design = carve(graph, {"fc": Fold(simd=1, pe=1), "x": Fold(16)})
    assert sum(design.units[-1].issuer.durations) == 1 + 1 + 2 + 1  # the empty row still takes a beat


def residual() -> Graph:
    """x + conv(x), requantised."""
    builder = Builder()
    wire = builder.add("x", ops.Input(Type((2, 6, 6), (0, 3))))
    weight = np.arange(1, 37).reshape(2, 2, 3, 3)
    inner = builder.add("conv", ops.Conv2d(weight, padding=(1, 1)), wire)
    inner = builder.add("q", ops.Requantize(np.ones(1), np.zeros(1), 8, 0, 3), inner)
    return builder.graph((builder.add("add", ops.Add((1, 1)), inner, wire),))


def shallower(design: Design, branch: int) -> Design:
    """One word less in one FIFO of the only fork."""
    fork = design.forks[0]
    depths = list(fork.depths)
    depths[branch] -= 1
    return design.with_depths({fork.name: tuple(depths)})


def test_fork_fifos_are_minimal() -> None:
    design = carve(residual())
    for branch, depth in enumerate(design.forks[0].depths):
        if depth == 1:
            continue
        timing = shallower(design, branch).timing(design.warm_up)
        assert not timing.finished or timing.interval > design.interval


def test_a_shallow_join_is_a_deadlock_with_a_message() -> None:
    design = carve(residual())
    starved = design.with_depths({design.forks[0].name: (1, 1)})
    with pytest.raises(DesignError, match="deadlock"):
        _ = starved.latency


@pytest.mark.parametrize("seed", [50047])
def test_sized_fifos_keep_every_interval_short(seed: int) -> None:
    """Depths that let frames alternate between a short and a long interval are not enough."""
    made = RandomGraph(seed)
    design = carve(made.graph, made.folding)
    distances = np.diff(design.timing(design.warm_up + 24).last_out)[-24:]
    assert set(distances.tolist()) == {design.interval}


@pytest.mark.parametrize("seed", [7, 43, 50047, *range(60, 72)])
def test_frames_that_repeat_are_those_that_unrolling_gives(seed: int) -> None:
    made, frames = RandomGraph(seed), 70
    design = carve(made.graph, made.folding)
    run = Unrolled(design.flow)
    for _ in range(frames // 10):
        run.unroll(10)
    timing = schedule(design.flow, frames)
    assert (list(timing.first_in), list(timing.last_out)) == (run.first_in, run.last_out)
    assert pace(design.flow, frames) == timing.interval


def test_a_guess_that_is_too_late_is_taken_back() -> None:
    """Frames unrolled one by one are guessed from the ones before; unrolled at once they are not."""
    design = carve(residual())
    one, all_at_once = (Unrolled(design.flow) for _ in range(2))
    for _ in range(9):
        one.unroll(1)
    all_at_once.unroll(9)
    assert (one.first_in, one.last_out) == (all_at_once.first_in, all_at_once.last_out)


def test_a_deadlocked_run_holds_no_frame_that_does_not_end() -> None:
    design = carve(residual())
    timing = design.with_depths({design.forks[0].name: (1, 1)}).timing(3)
    assert not timing.finished
    assert timing.last_out == ()


def test_operations_of_a_layer_follow_each_other() -> None:
    design = carve(dense(24, 8), {"fc0": Fold(simd=4, pe=2)})
    starts, durations = design.operations(3)["fc0"].T
    assert durations.tolist() == [6] * 4 * 3
    assert (np.diff(starts) >= durations[:-1]).all()
    assert starts[4] - starts[0] == design.interval
