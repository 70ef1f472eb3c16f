"""Plans of layers: what is chosen for which weights, what can be forced, and what the plan says is what is carved."""

import re
from pathlib import Path

import numpy as np
import pytest
from support.check import check
from support.random_graphs import RandomGraph

from intaglio.hardware.design import Design, Fold, Forced, carve
from intaglio.hardware.emit import emit
from intaglio.hardware.plan import Layer, plan
from intaglio.hardware.products import Lane
from intaglio.hardware.units import fold_options
from intaglio.ir import ops
from intaglio.ir.errors import DesignError
from intaglio.ir.graph import Builder, Graph
from intaglio.ir.types import Type

RNG = np.random.default_rng(5)
TERNARY = RNG.choice([-1, 0, 1], (8, 16))
ANY = RNG.integers(-7, 8, (8, 16))
BLOCKS = np.where(np.arange(16) % 4 == 0, np.where(ANY == 0, 6, ANY), 0)


SHARED = RNG.choice([-101, -77, -59, -37, -22, -13, -5, 0, 3, 11, 19, 34, 46, 71, 90, 127], (64, 64))


def dense(weight: np.ndarray, bits: int = 4) -> Graph:
    """One dense layer."""
    builder = Builder()
    wire = builder.add("x", ops.Input(Type((weight.shape[1],), (0, (1 << bits) - 1))))
    return builder.graph((builder.add("fc", ops.MatMul(weight), wire),))


def parts(design: Design, name: str = "fc") -> tuple[str, str, str]:
    """Names of the three parts of a layer's plan."""
    found = design.plans[name]
    return found.schedule.name, found.supply.name, found.product.name


def layer(weight: np.ndarray) -> Layer:
    order = np.arange(weight.shape[1])
    return Layer("fc", ops.MatMul(weight), Lane(4, False), order, 1, weight.shape[1], (-999, 999))


@pytest.mark.parametrize(
    ("weight", "fold", "expected"),
    [
        (ANY, Fold(4, 2), ("dense", "rom", "integer")),
        (TERNARY | 1, Fold(4, 2), ("dense", "rom", "binary")),
        (TERNARY, Fold(4, 2), ("dense", "rom", "ternary")),
        (TERNARY, Fold(1, 1), ("listed", "rom", "binary")),
        (BLOCKS, Fold(1, 4), ("listed", "rom", "integer")),
        (SHARED, Fold(4, 4), ("dense", "codebook", "integer")),
        (SHARED, Fold(16, 16), ("dense", "rom", "integer")),
        (np.zeros((8, 16), dtype=np.int64), Fold(4, 2), ("listed", "rom", "bases")),
    ],
)
def test_the_plan_is_chosen_for_the_weights_that_are_issued(
    weight: np.ndarray, fold: Fold, expected: tuple[str, str, str]
) -> None:
    assert parts(carve(dense(weight), {"fc": fold}, dsp=False)) == expected


@pytest.mark.parametrize("product", ["integer", "ternary", "bases", "shift"])
@pytest.mark.parametrize("schedule", ["dense", "listed"])
def test_a_forced_plan_is_carved_and_computes_the_same(product: str, schedule: str, tmp_path: Path) -> None:
    weight = TERNARY * 2 if product == "bases" else TERNARY.copy()
    weight[:, 4:8] = 0
    weight = np.where(weight == 1, 2, weight) if product == "shift" else weight
    graph, fold = dense(weight), {"fc": Fold(2, 2)}
    forced = {"fc": Forced(schedule, "rom", product)}
    design = carve(graph, fold, dsp=False, forced=forced)
    assert parts(design) == (schedule, "rom", product)
    inputs = RNG.integers(0, 16, (4, 16))
    findings = check(graph, fold, inputs, tmp_path, dsp=False, forced=forced)
    assert findings.problems == []


def test_shared_weights_come_from_a_codebook_down_to_gates(tmp_path: Path) -> None:
    graph, folding = dense(SHARED[:32, :32]), {"fc": Fold(4, 2)}
    inputs = RNG.integers(0, 16, (4, 32))
    forced = {"fc": Forced(supply="codebook")}
    design, plain = (carve(graph, folding, dsp=False, forced=f) for f in (forced, {"fc": Forced(supply="rom")}))
    assert parts(design) == ("dense", "codebook", "integer")
    assert design.memory_bits < 0.6 * plain.memory_bits
    assert check(graph, folding, inputs, tmp_path, dsp=False, netlist_units=9, forced=forced).problems == []


@pytest.mark.parametrize("serial", [False, True])
def test_a_codebook_serves_serial_lanes_too(serial: bool, tmp_path: Path) -> None:
    graph, forced = dense(SHARED[:8, :16]), {"fc": Forced(supply="codebook")}
    inputs = RNG.integers(0, 16, (4, 16))
    findings = check(graph, {"fc": Fold(4, 2, serial)}, inputs, tmp_path, dsp=False, forced=forced)
    assert findings.problems == []


@pytest.mark.parametrize(
    ("forced", "message"),
    [
        (Forced(product="binary"), "fc: the product 'binary' does not fit: it needs weights of -1 and 1 alone"),
        (Forced(schedule="listed"), "fc: the schedule 'listed' does not fit: it needs beats whose weights are all"),
        (Forced(product="binry"), "fc: unknown product 'binry'; did you mean 'binary'"),
        (Forced(supply="ram"), "fc: unknown supply 'ram'"),
        (Forced(supply="codebook"), "fc: the supply 'codebook' does not fit: it needs weights of few values"),
    ],
)
def test_a_forced_part_that_does_not_fit_names_what_is_missing(forced: Forced, message: str) -> None:
    with pytest.raises(DesignError, match=re.escape(message)):
        carve(dense(ANY), {"fc": Fold(4, 2)}, forced={"fc": forced})


def test_only_layers_with_weights_have_plans_to_force() -> None:
    with pytest.raises(DesignError, match="lacks: fd"):
        carve(dense(ANY), forced={"fd": Forced(product="integer")})
    with pytest.raises(DesignError, match="x: has no weights"):
        carve(dense(ANY), forced={"x": Forced(product="integer")})


@pytest.mark.parametrize("seed", range(20))
def test_folding_ranks_the_plans_that_carving_builds(seed: int) -> None:
    """Where the stream carries what the Graph says, an Option is the plan that is carved at its Fold."""
    made = RandomGraph(seed)
    for index, node in enumerate(made.graph.nodes):
        options = fold_options(node.op, made.graph, index, False, Forced())
        for option in options[:: max(len(options) // 3, 1)]:
            design = carve(made.graph, {node.name: option.fold}, dsp=False)
            chosen = design.plans.get(node.name)
            bits = made.graph.nodes[node.inputs[0]].type.bits
            if chosen is not None and chosen.lane == Lane(bits, chosen.lane.signed):
                assert (chosen.cycles, chosen.luts) == (option.cycles, option.area)


@pytest.mark.parametrize("seed", range(12))
def test_memory_bits_are_those_of_the_files_that_the_top_module_names(seed: int, tmp_path: Path) -> None:
    made = RandomGraph(seed)
    design = carve(made.graph, made.folding, dsp=False)
    emit(design, tmp_path)
    names = re.findall(r'"(\w+\.mem)"', (tmp_path / "ig_top.sv").read_text())
    digits = {path.name: path.read_text().split() for path in tmp_path.glob("*.mem")}
    assert sorted(names) == sorted(memory.name for memory in design.memories)
    for memory in design.memories:
        lines = digits[memory.name]
        assert len(lines) == memory.depth and {len(line) for line in lines} == {-(-memory.width // 4)}
        assert max(int(line, 16) for line in lines) < 1 << memory.width
    assert design.memory_bits == sum(memory.depth * memory.width for memory in design.memories)


def test_a_plan_tells_people_what_it_is() -> None:
    weight = BLOCKS
    about = plan(layer(weight), Fold(1, 4)).about
    assert about == (
        "stored as 4-bit codes, 128 bits; fetched from a memory, the 25 % of beats that are not zero; "
        "multiplied as integers"
    )
