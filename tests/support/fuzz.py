"""The fuzzer: one seed is one network with its recipe, folding and stalls, taken from PyTorch to simulated cycles.

`python -m tests.end_to_end.fuzz --count 300` runs many seeds over two processes, resumes where it stopped, and
writes the record. The tests run a part that rotates with the day.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from intaglio.hardware.simulate import Backend
from intaglio.ir.errors import DesignError, RecipeError, ShapeError, StructureError, UnsupportedLayer
from intaglio.ir.graph import Graph
from intaglio.twin.lower import equal, lower
from support.check import Findings, check
from support.random_graphs import RandomGraph
from support.random_networks import RandomNetwork

FRAMES = 6
CXXRTL_EVERY = 30
NETLIST_EVERY = 10
NETLIST_UNITS = 8  # larger designs take minutes


@dataclass(frozen=True)
class Outcome:
    """What one seed showed: `problems` is empty when everything agreed; `skipped` says why nothing was checked."""

    seed: int
    kind: str
    problems: tuple[str, ...] = ()
    skipped: str = ""
    latency: tuple[int, int] = (0, 0)
    interval: tuple[int, int] = (0, 0)
    units: int = 0
    cxxrtl: bool = False
    netlist: bool = False
    methods: tuple[str, ...] = ()
    outputs: int = 0  # different ones: equality of constants says little

    def record(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self)


def network(seed: int, directory: Path, cxxrtl: bool | None = None) -> Outcome:
    """A random PyTorch network: torch = Graph = RTL, and the cycles; every tenth small one as the ECP5 netlist, too."""
    made = RandomNetwork(seed).eval()
    x = made.samples(FRAMES)
    try:
        recipe = made.recipe()
        model = recipe.apply(made, x)
        graph = lower(model, x[:1])
    except (UnsupportedLayer, RecipeError, ShapeError, StructureError) as error:  # no integer form, or a bad recipe
        return Outcome(seed, "network", skipped=str(error))
    wrong = equal(model, graph, x)
    inputs = graph.input_types[0].quantize(x.double().numpy().reshape(-1, *graph.input_types[0].shape))
    backends = _backends(seed, cxxrtl)
    try:
        findings = check(
            graph, made.folding(graph), inputs, directory, seed, dsp=bool(seed % 2), backends=backends,
            netlist_units=0 if seed % NETLIST_EVERY else NETLIST_UNITS,
        )  # fmt: skip
    except DesignError as error:  # the one kind of network that has integers but no hardware
        if "a window carries at most" not in str(error):
            raise
        return Outcome(seed, "network", skipped=str(error))
    findings.note(wrong == 0, f"torch and Graph differ in {wrong} outputs")
    names = tuple(method.key() for method in recipe.methods)
    return replace(_outcome(seed, "network", findings, backends), methods=names, outputs=variety(graph, inputs))


def graph(seed: int, directory: Path, cxxrtl: bool | None = None) -> Outcome:
    """A random integer graph, with what torch cannot say: pad values, look-ups, thresholds, odd multipliers."""
    made = RandomGraph(seed)
    inputs, backends = made.inputs(FRAMES), _backends(seed, cxxrtl)
    findings = check(made.graph, made.folding, inputs, directory, seed, dsp=bool(seed % 2), backends=backends)
    return replace(_outcome(seed, "graph", findings, backends), outputs=variety(made.graph, inputs))


def variety(of: Graph, inputs: np.ndarray) -> int:
    """How many different outputs these inputs give."""
    return len(np.unique(of(inputs)[0].reshape(len(inputs), -1), axis=0))


KINDS = {"network": network, "graph": graph}


def _backends(seed: int, cxxrtl: bool | None) -> tuple[Backend, ...]:
    both = seed % CXXRTL_EVERY == 0 if cxxrtl is None else cxxrtl
    return ("verilator", "cxxrtl") if both else ("verilator",)


def _outcome(seed: int, kind: str, findings: Findings, backends: tuple[Backend, ...]) -> Outcome:
    return Outcome(
        seed,
        kind,
        tuple(findings.problems),
        "",
        findings.latency,
        findings.interval,
        findings.units,
        "cxxrtl" in backends,
        findings.netlist,
    )


def single_threaded() -> None:
    """Several processes share the cores: one thread each."""
    torch.set_num_threads(1)
