"""Several inputs and several outputs: integers and cycles as with one, each stream stalling by itself."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support.check import check
from support.random_graphs import RandomPorts
from support.small_designs import DESIGNS
from torch import Tensor, nn

import intaglio as ig
from intaglio.hardware.design import Fold, carve
from intaglio.hardware.emit import emit
from intaglio.hardware.rtl import Rtl, StreamSpec, pack
from intaglio.hardware.simulate import Backend, build
from intaglio.hardware.verify import compare
from intaglio.ir import ops
from intaglio.ir.errors import DataError, DesignError, ShapeError
from intaglio.ir.graph import Builder, Graph
from intaglio.ir.types import Type
from intaglio.methods import Binary, BlockFloatingPoint, FixedPoint, Pact, Prune
from intaglio.recipe import Recipe
from intaglio.twin.freezing import freezing
from intaglio.twin.lower import integers


def dense(builder: Builder, name: str, wire: int, outputs: int) -> int:
    weight = np.random.default_rng(len(builder.nodes)).integers(-3, 4, (outputs, builder.nodes[wire].type.size))
    wire = builder.add(name, ops.MatMul(weight), wire)
    return builder.add(f"{name}.q", ops.Requantize(np.ones(1), np.ones(1), 2, 0, 7), wire)


def two_and_two(passed: bool = False) -> Graph:
    """Two vectors, joined, with two heads, or with one head and the second vector as it came."""
    builder = Builder()
    a = builder.add("a", ops.Input(Type((6,), (0, 7))))
    b = builder.add("b", ops.Input(Type((4,), (0, 255))))
    if passed:
        return builder.graph((dense(builder, "head", a, 3), b))
    joined = builder.add("join", ops.Concat((1, 1)), dense(builder, "left", a, 4), dense(builder, "right", b, 4))
    return builder.graph((dense(builder, "y", joined, 3), dense(builder, "z", joined, 5)))


def random_inputs(graph: Graph, frames: int) -> list[np.ndarray]:
    random = np.random.default_rng(frames)
    return [random.integers(t.range[0], t.range[1] + 1, (frames, *t.shape)) for t in graph.input_types]


@pytest.mark.parametrize("seed", range(8))
def test_random_graphs_of_two_inputs_and_two_outputs(seed: int, tmp_path: Path) -> None:
    case = RandomPorts(seed)
    assert not check(case.graph, case.folding, case.streams(4), tmp_path, seed).problems


def test_both_simulators_and_the_netlist(tmp_path: Path) -> None:
    graph = two_and_two()
    folding = {"left": Fold(2, 1), "z": Fold(1, 5)}
    backends: tuple[Backend, ...] = ("verilator", "cxxrtl")
    found = check(graph, folding, random_inputs(graph, 4), tmp_path, backends=backends, netlist_units=99)
    assert not found.problems
    assert found.netlist


@pytest.mark.parametrize("seed", range(3))
def test_an_output_that_is_an_input(seed: int, tmp_path: Path) -> None:
    """It goes its own way, behind a FIFO: what enters does not wait for what leaves in the same cycle."""
    graph = two_and_two(passed=True)
    assert not check(graph, {}, random_inputs(graph, 4), tmp_path, seed).problems
    design = carve(graph)
    assert not set(design.sources) & set(design.sinks)
    simulator = build(emit(design, tmp_path), optimise=0)
    inputs = random_inputs(graph, 30)
    assert compare(design, simulator, *inputs, stall_in=0.4, stall_out=0.4, probe=True, seed=seed).equal


def test_streams_have_the_names_of_their_nodes_and_stall_by_themselves(tmp_path: Path) -> None:
    graph = two_and_two()
    design = carve(graph)
    rtl = emit(design, tmp_path)
    assert [s.prefix for s in rtl.inputs] == ["a_", "b_"]
    assert [s.prefix for s in rtl.outputs] == ["y_q_", "z_q_"]
    result = compare(design, build(rtl, optimise=0), *random_inputs(graph, 40), stall_in=0.5, stall_out=0.5, beats=True)
    assert result.equal
    assert result.values == 40 * 8
    trace = result.trace
    entered, left = (np.stack([s.times for s in streams]) for streams in (trace.inputs, trace.outputs))
    assert (entered[0] < entered[1]).any() and (entered[0] > entered[1]).any()
    assert np.array_equal(trace.first_in, entered.min(0))
    assert np.array_equal(trace.last_out, left.max(0))
    assert all(s.beats is not None and np.array_equal(s.beats[:, 0], s.times) for s in trace.inputs)
    with pytest.raises(ShapeError, match="2 outputs"):
        _ = trace.words


def test_a_stream_that_nobody_reads() -> None:
    builder = Builder()
    builder.add("lonely", ops.Input(Type((3,), (0, 7))))
    graph = builder.graph((dense(builder, "head", builder.add("b", ops.Input(Type((4,), (0, 7)))), 2),))
    with pytest.raises(DesignError, match="lonely: nothing reads its result"):
        carve(graph)


def test_arrays_that_do_not_fit_the_inputs(tmp_path: Path) -> None:
    design = carve(two_and_two())
    simulator = build(emit(design, tmp_path), optimise=0)
    a, b = (np.zeros((3, s.beats, s.words), np.uint32) for s in simulator.rtl.inputs)
    with pytest.raises(ShapeError, match=r"1 arrays of words for 2 inputs.*: a, b"):
        simulator.run(a)
    with pytest.raises(ShapeError, match="2 and 3 frames"):
        simulator.run(a, b[:2])
    with pytest.raises(ShapeError, match="b_"):
        simulator.run(a, b[:, :1])


def crossed(directory: Path, broken: str = "", beats: tuple[int, int] = (3, 5)) -> Rtl:
    """Two stages side by side, of so many beats a frame; the second, named `v` and `y`, may break a rule."""
    directory.mkdir(parents=True, exist_ok=True)
    names = (("u", "x", "0"), ("v", "y", broken or "0"))
    ports = ",\n".join(
        f"input logic {i}_valid_i, output logic {i}_ready_o, input logic [7:0] {i}_data_i, input logic {i}_last_i,\n"
        f"output logic {o}_valid_o, input logic {o}_ready_i, output logic [7:0] {o}_data_o, output logic {o}_last_o"
        for i, o, _ in names
    )
    body = "\n".join(
        f"logic {o}_last; ig_fifo #(.WIDTH(8), .DEPTH(2)) u_{i} (.clk_i, .rst_ni, .valid_i({i}_valid_i), "
        f".ready_o({i}_ready_o), .data_i({i}_data_i), .last_i({i}_last_i), .valid_o({o}_valid_o), "
        f".ready_i({o}_ready_i), .data_o({o}_data_o), .last_o({o}_last)); assign {o}_last_o = {o}_last ^ {fault};"
        for i, o, fault in names
    )
    top = directory / "top.sv"
    top.write_text(f"module top (input logic clk_i, input logic rst_ni,\n{ports}\n);\n{body}\nendmodule\n")
    streams = [StreamSpec(1, 8, False, count, f"{name}_") for name, count in zip("uvxy", 2 * beats, strict=True)]
    library = DESIGNS.parents[2] / "src" / "intaglio" / "rtl" / "ig_fifo.sv"
    return Rtl(directory, "top", (library, top), tuple(streams[:2]), tuple(streams[2:]))


@pytest.mark.parametrize("side", ["stall_in", "stall_out"])
def test_streams_of_one_shape_stall_at_different_times(side: str, tmp_path: Path) -> None:
    words = np.zeros((40, 4, 1), np.uint32)
    trace = build(crossed(tmp_path, beats=(4, 4)), optimise=0).run(words, words, **{side: 0.5})
    assert trace.finished and trace.violations == ()
    assert not np.array_equal(*(stream.times for stream in trace.outputs))


def test_a_rule_that_one_stream_breaks_is_named_with_it(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    words = [pack(random.integers(0, 256, (20, beats, 1)), 8) for beats in (3, 5)]
    conditions = {"stall_in": 0.3, "stall_out": 0.3, "resets": (9, 40)}
    trace = build(crossed(tmp_path / "right"), optimise=0).run(*words, **conditions)
    assert trace.finished and trace.violations == ()
    assert all(np.array_equal(out.words, sent) for out, sent in zip(trace.outputs, words, strict=True))
    (violation,) = build(crossed(tmp_path / "wrong", "1"), optimise=0).run(*words, **conditions).violations
    assert "last not on the frame's final beat" in violation and violation.endswith("of y)")


class Sensors(nn.Module):
    """An image and a vector, joined, with a head each for classes and for a position; the vector leaves, too."""

    def __init__(self) -> None:
        super().__init__()
        self.eye = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2))
        self.seen = nn.Sequential(nn.Linear(12, 6), nn.ReLU())
        self.ear = nn.Sequential(nn.Linear(5, 6), nn.ReLU())
        self.joined = nn.Sequential(nn.Linear(12, 8), nn.ReLU())
        self.classes, self.position = nn.Linear(8, 4), nn.Linear(8, 2)

    def forward(self, image: Tensor, sound: Tensor) -> tuple[Tensor, ...]:
        both = self.joined(torch.cat([self.seen(self.eye(image).flatten(1)), self.ear(sound)], 1))
        return self.classes(both), self.position(both), sound


def sensed(count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(count)
    return torch.rand(count, 1, 6, 6, generator=generator), torch.randn(count, 5, generator=generator)


RECIPES = {
    "fixed_point": Recipe(FixedPoint(weight_bits=5, activation_bits=6)),
    "pruned_binary": Recipe(FixedPoint(), Prune(sparsity=0.5, select="ear.0"), Binary(select="joined.0")),
    "blocks": Recipe(BlockFloatingPoint(block=1)),
    "pact": Recipe(Pact(bits=4)),
}


@pytest.mark.parametrize("name", RECIPES)
def test_from_torch_to_the_netlist(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, data = Sensors().eval(), sensed(64)
    ig.check(model, data)
    small = RECIPES[name].apply(model, data).eval()
    graph = ig.lower(small, data)
    assert [graph.nodes[i].name for i in graph.inputs] == ["image", "sound"]
    assert len(graph.outputs) == 3
    assert ig.equal(small, graph, data) == 0
    assert freezing(small, data).samples == 64
    x = integers(graph, tuple(part[:4] for part in data))
    found = check(graph, {}, x, tmp_path, netlist_units=99 if name == "fixed_point" else 0)
    assert not found.problems
    assert found.netlist == (name == "fixed_point")


def test_ways_to_give_data_of_several_inputs() -> None:
    """Whole, in batches, with labels, as a loader gives them: the same network."""
    torch.manual_seed(0)
    model, (p, q) = Sensors().eval(), sensed(40)
    y = torch.zeros(40)
    halves = [slice(20), slice(20, 40)]
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(p, q, y), 20)
    ways = (
        (p, q), [p, q], [(p[h], q[h]) for h in halves], [((p[h], q[h]), y[h]) for h in halves], loader,
    )  # fmt: skip
    texts = {str(ig.lower(RECIPES["fixed_point"].apply(model, way), (p, q))) for way in ways}
    assert len(texts) == 1
    graph = ig.Graph.parse(texts.pop())
    scales = [kind.scale for kind in graph.input_types]
    assert scales[0] != scales[1] and [kind.signed for kind in graph.input_types] == [False, True]
    for wrong in (p, [p], (p, q, y), [(p,)], [(p, q[:3])], [(p, None)]):
        with pytest.raises(DataError, match=r"takes 2 inputs \(image, sound\)"):
            RECIPES["fixed_point"].apply(model, wrong)


def test_a_graph_of_another_network_is_refused() -> None:
    small = RECIPES["fixed_point"].apply(Sensors(), sensed(8))
    one = nn.Linear(5, 2)
    other = ig.lower(RECIPES["fixed_point"].apply(one, sensed(8)[1]), sensed(1)[1])
    with pytest.raises(ShapeError, match="the Graph takes 1 tensors, and the network 2"):
        ig.equal(small, other, sensed(8))
