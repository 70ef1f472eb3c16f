"""Every method, alone and in all ordered pairs, from torch to gates: torch = Graph = RTL (= netlist), cycles exact.

A small network (convolution, batch norm, rectifier, pool, two dense layers) is approximated, trained for a few
steps, lowered and simulated: saturated, isolated and with stalls. Methods alone also run as the synthesised ECP5
netlist, pairs as that of a smaller network. A pair whose second method destroys what the first one made is refused
by the recipe; the record says so, and what was destroyed. Saves after every row, so it resumes.

    python -m benchmarks format_equality [--alone]
"""

import itertools
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.equality import simulate
from benchmarks.machine import machine, versions
from intaglio.hardware.design import Design, Fold, carve
from intaglio.hardware.emit import emit
from intaglio.hardware.netlist import netlist
from intaglio.hardware.rtl import Rtl
from intaglio.hardware.simulate import build
from intaglio.hardware.synthesize import synthesize
from intaglio.hardware.verify import compare
from intaglio.ir import ops
from intaglio.ir.errors import RecipeError, StructureError
from intaglio.ir.graph import Graph
from intaglio.methods import METHODS, Method, Recipe
from intaglio.twin.format import Format
from intaglio.twin.lower import equal, lower
from intaglio.twin.quantise import quantised

RESULT = Path("benchmarks/results/format_equality.json")
INPUTS = 48
PROCESSES = 2
NETLIST_INPUTS = 16
CLASSES, STEPS = 5, 40
LEAST = 8  # different outputs that the inputs of a row must give, so that equality says something
KNOBS: dict[str, dict[str, Any]] = {
    "prune": {"sparsity": 0.6},
    "fixed_point": {"weight_bits": 4, "activation_bits": 4},
    "binary": {"activations": True},
    "logarithmic": {"activation_bits": 3},
    "minifloat": {"weights": "E3M2", "activations": "E3M2"},
    "block_floating_point": {"block": 4, "activation_mantissa": 4},
    "multi_base": {"activation_bases": 2},
}
"""Knobs that give a method its own activations, and make it small."""


def network() -> nn.Module:
    """Two convolutions and two dense layers."""
    torch.manual_seed(0)
    return normed(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
        nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 5),
    )  # fmt: skip


def small_network() -> nn.Module:
    """One convolution and one dense layer: what a pair of methods becomes in gates takes half a minute."""
    torch.manual_seed(0)
    return normed(
        nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(16, 5),
    )  # fmt: skip


def normed(*layers: nn.Module) -> nn.Module:
    """The layers, with statistics of batch norm that are not trivial, so that its folding is exercised."""
    for norm in layers:
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(norm.weight, 0.7, 0.5)
            nn.init.normal_(norm.bias, 0.2, 0.3)
    return nn.Sequential(*layers)


def made(kind: type[Method]) -> Method:
    """A method with the knobs of this benchmark."""
    return kind(**KNOBS.get(kind.key(), {}))


def trained(network: nn.Module, recipe: Recipe, x: Tensor, y: Tensor) -> nn.Module:
    """The network after a few steps of training with the recipe."""
    model = recipe.apply(network, x)
    if not any(isinstance(method, Format) or hasattr(method, "weight_bits") for method in recipe.methods):
        model = quantised(model, x)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.01)
    model.train()
    for step in range(STEPS):
        for method in recipe.methods:
            method.step(model, step / STEPS)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y) + sum(method.loss(model, x, y) for method in recipe.methods)
        loss.backward()
        optimizer.step()
    for method in recipe.methods:
        method.step(model, 1.0)
    recipe.verify(model)
    return model.eval()


def folding(graph: Graph) -> dict[str, Fold]:
    """Four lanes in and two out where they divide, so that a block of four is a beat."""
    layers = [node for node in graph.nodes if isinstance(node.op, ops.MatMul | ops.Conv2d)]
    return {
        node.name: Fold(4 if node.op.weight.shape[1] % 4 == 0 else 2, 2 if len(node.op.weight) % 2 == 0 else 1)
        for node in layers
    }


def stages(design: Design) -> list[Any]:
    """The stages of all units, in order."""
    return [stage for unit in design.units for stage in getattr(unit, "stages", ())]


def images() -> tuple[Tensor, Tensor]:
    """Noisy pictures of a few classes, some bright, some dark: what a network can learn to tell apart."""
    torch.manual_seed(1)
    y = torch.arange(INPUTS) % CLASSES
    shapes = torch.rand(CLASSES, 2, 8, 8) > 0.6
    bright = 0.3 + 0.7 * torch.rand(INPUTS, 1, 1, 1)
    return (shapes[y] * bright + 0.2 * torch.rand(INPUTS, 2, 8, 8)).clamp(0, 1), y


@dataclass(frozen=True)
class Built:
    """A network and what became of it."""

    model: nn.Module
    x: Tensor
    graph: Graph
    design: Design
    rtl: Rtl

    @property
    def integers(self) -> Any:
        """The inputs as integers."""
        kind = self.graph.input_types[0]
        return kind.quantize(self.x.double().numpy().reshape(-1, *kind.shape))

    def variety(self, count: int) -> int:
        """How many different outputs the first `count` inputs give."""
        return len(np.unique(self.graph(self.integers[:count])[0].reshape(count, -1), axis=0))


def built(kinds: tuple[type[Method], ...], network: nn.Module, directory: Path) -> Built:
    """The network, approximated, trained, lowered, carved and written. StructureError where the recipe is refused."""
    x, y = images()
    model = trained(network, Recipe(*(made(kind) for kind in kinds)), x, y)
    graph = lower(model, x[:1])
    design = carve(graph, folding(graph), dsp=False)
    return Built(model, x, graph, design, emit(design, directory))


def row(kinds: tuple[type[Method], ...]) -> dict[str, Any]:
    """All figures of one method or ordered pair; a pair becomes gates as a smaller network."""
    start = time.monotonic()
    names = [kind.key() for kind in kinds]
    directory = Path("build/format_equality") / "_".join(names)
    try:
        large = built(kinds, network(), directory)
        gated = large if len(kinds) == 1 else built(kinds, small_network(), directory / "small")
    except (StructureError, RecipeError) as error:
        return {"methods": names, "refused": str(error), "seconds": time.monotonic() - start}
    return {
        "methods": names,
        "torch_graph": equal(large.model, large.graph, large.x),
        "forms": [stage.form for stage in stages(large.design) if hasattr(stage, "form")],
        "outputs": large.variety(INPUTS),
        **simulate(large.design, build(large.rtl, optimise=0), large.integers),
        "netlist_outputs": gated.variety(NETLIST_INPUTS),
        **gates(gated.design, gated.rtl, gated.integers),
        "seconds": time.monotonic() - start,
    }


def gates(design: Design, rtl: Rtl, inputs: Any) -> dict[str, Any]:
    """Mismatches of the synthesised netlist, simulated with our models of the ECP5's cells."""
    synthesis = synthesize(rtl, "ecp5", dsp=False)
    found = compare(design, build(netlist(rtl, synthesis), optimise=0), inputs[:NETLIST_INPUTS])
    return {"graph_netlist": found.mismatches, "netlist_inputs": NETLIST_INPUTS, "luts": synthesis.lut4_eq}


def differs(found: dict[str, Any]) -> bool:
    """Whether anything in a row is not equal, or equal only because the outputs hardly vary."""
    if "refused" in found:
        return False
    if found["outputs"] < LEAST or found["netlist_outputs"] < LEAST // 2:
        return True
    cycles = [found[name]["modelled"] != found[name]["simulated"] for name in ("latency", "interval")]
    return bool(found["torch_graph"] or found["graph_rtl"] or not found["clean"] or any(cycles)) or bool(
        found.get("graph_netlist")
    )


def main() -> int:
    """Check what is missing in the record; exit status 1 when anything differs."""
    record = json.loads(RESULT.read_text()) if RESULT.exists() else {"rows": []}
    rows = {tuple(found["methods"]): found for found in record["rows"]}
    pairs = [] if "--alone" in sys.argv else itertools.permutations(METHODS, 2)
    wanted = {tuple(kind.key() for kind in kinds): kinds for kinds in [*((kind,) for kind in METHODS), *pairs]}
    with ProcessPoolExecutor(PROCESSES, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        futures = [pool.submit(row, kinds) for names, kinds in wanted.items() if names not in rows]
        for future in as_completed(futures):
            found = future.result()
            rows[tuple(found["methods"])] = found
            ordered = [rows[names] for names in wanted if names in rows]
            record = {"rows": ordered, "machine": machine(), "versions": versions()}
            RESULT.write_text(json.dumps(record, indent=1) + "\n")
            print(*found["methods"], found.get("refused") or ("DIFFERS" if differs(found) else "equal"), flush=True)
    return int(any(differs(found) for found in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
