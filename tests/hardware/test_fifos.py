"""Sizing FIFOs: trials of parts find what trials of the whole network find."""

import numpy as np
import pytest
from support.random_graphs import RandomGraph

from intaglio.hardware.actors import UNSIZED
from intaglio.hardware.design import Design, carve
from intaglio.hardware.fifos import least, parts, warm_up
from intaglio.hardware.timing import pace
from intaglio.ir import ops
from intaglio.ir.graph import Builder, Graph
from intaglio.ir.types import Type


def residual(shape: tuple[int, int, int], blocks: int = 1, convolutions: int = 1) -> Graph:
    """Residual blocks of 3x3 convolutions, one behind the other."""
    random, builder = np.random.default_rng(0), Builder()
    wire = builder.add("x", ops.Input(Type(shape, (0, 7))))
    for block in range(blocks):
        inner = wire
        for number in range(convolutions):
            weight = random.integers(-3, 4, (shape[0], shape[0], 3, 3))
            inner = builder.add(f"conv{block}{number}", ops.Conv2d(weight, padding=(1, 1)), inner)
            inner = builder.add(f"q{block}{number}", ops.Requantize(np.ones(1), np.ones(1), 4, 0, 7), inner)
        wire = builder.add(f"add{block}", ops.Add((1, 1)), inner, wire)
        wire = builder.add(f"relu{block}", ops.Requantize(np.ones(1), np.zeros(1), 1, 0, 7), wire)
    return builder.graph((wire,))


def by_trials_of_the_whole(design: Design) -> dict[str, tuple[int, ...]]:
    """Every FIFO in turn as shallow as it may be, the ones behind it without limit."""
    depths = {fork.name: (UNSIZED,) * len(fork.depths) for fork in design.forks}

    def interval() -> int | None:
        trial = design.with_depths(depths)
        return pace(trial.flow, warm_up(trial.units, trial.streams))

    best = interval()
    for name, branches in depths.items():
        for branch in range(len(branches)):

            def keeps(depth: int, name: str = name, branch: int = branch) -> bool:
                depths[name] = (*depths[name][:branch], depth, *depths[name][branch + 1 :])
                found = interval()
                return found is not None and best is not None and found <= best

            keeps(least(keeps, 1))
    return depths


def depths_of(design: Design) -> dict[str, tuple[int, ...]]:
    return {fork.name: fork.depths for fork in design.forks}


@pytest.mark.parametrize("seed", range(24))
def test_parts_give_the_depths_of_the_whole(seed: int) -> None:
    made = RandomGraph(seed)
    design = carve(made.graph, made.folding)
    assert depths_of(design) == by_trials_of_the_whole(design)


def test_every_block_of_a_chain_gets_the_depths_of_the_whole() -> None:
    design = carve(residual((2, 5, 4), blocks=4, convolutions=2))
    assert len(design.forks) == 4
    assert depths_of(design) == by_trials_of_the_whole(design)


def test_a_deep_fifo_is_as_deep_as_it_must_be() -> None:
    """Two rows of 3000 pixels of 6 channels wait for the third: more than 2**15 words."""
    design = carve(residual((6, 3, 3000)))
    depth = max(design.forks[0].depths)
    assert 1 << 15 < depth < 3 * 3000 * 6
    less = {design.forks[0].name: tuple(d - (d == depth) for d in design.forks[0].depths)}
    found = pace(design.with_depths(less).flow, design.warm_up)
    assert found is None or found > design.interval


def test_parts_are_cut_where_one_stream_carries_everything() -> None:
    flow = carve(residual((2, 5, 4), blocks=3)).flow
    found = parts(flow)
    assert [flow.units[part.first].name for part in found] == ["x.fork", "relu0.fork", "relu1.fork"]
    assert [part.sinks for part in found[:-1]] == [part.sources for part in found[1:]]
    assert (found[0].sources, found[-1].sinks) == (flow.sources, flow.sinks)


@pytest.mark.parametrize("guess", [1, 2, 16, 17, 18, 40])
@pytest.mark.parametrize("wanted", [1, 2, 17])
def test_the_least_is_found_from_any_guess(wanted: int, guess: int) -> None:
    tried: list[int] = []
    assert least(lambda depth: tried.append(depth) is None and depth >= wanted, guess) == wanted
    assert min(tried) >= 1


def test_progress_is_told_for_every_fork() -> None:
    told: list[tuple[str, int, int]] = []
    carve(residual((2, 5, 4), blocks=2), progress=lambda *now: told.append(now))
    assert told[:2] == [("x.fork", 0, 2), ("relu0.fork", 1, 2)]
