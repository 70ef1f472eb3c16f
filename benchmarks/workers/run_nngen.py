"""NNgen: the integer MLP as Verilog and a test bench. Arguments: network.npz, directory, par, scale (0 or 1).

The bench holds NNgen's AXI memory model, starts one inference, counts its cycles and prints the outputs.
"""

import math
import os
import sys
import time
from pathlib import Path
from typing import Any

import nngen as ng
import numpy as np
import veriloggen as vg
import veriloggen.thread as vthread
from turns import say, versions
from veriloggen import simulation
from veriloggen.types import axi

CHUNK, WIDTH = 64, 32


def network(data: Any, par: int, scale: bool) -> tuple[Any, Any]:
    """The MLP in int8, `par` inputs and outputs at a time; `scale`: with a factor per output (all 1)."""
    layers = len(data["shifts"])
    source = wire = ng.placeholder(ng.int8, shape=(1, data["inputs"].shape[1]), name="source")
    for i in range(layers):
        weight = ng.variable(ng.int8, shape=data[f"w{i}"].shape, name=f"w{i}")
        weight.set_value(data[f"w{i}"])
        bias = ng.variable(ng.int32, shape=data[f"b{i}"].shape, name=f"b{i}")
        bias.set_value(data[f"b{i}"])
        extra = {"bias": bias}
        if scale:
            extra["scale"] = ng.variable(ng.int8, shape=data[f"b{i}"].shape, name=f"s{i}")
            extra["scale"].set_value(np.ones(data[f"b{i}"].shape, np.int64))
        if i < layers - 1:
            extra["act_func"] = ng.relu
        wire = ng.matmul(wire, weight, transposed_b=True, dtype=ng.int8, sum_dtype=ng.int32, name=f"dense{i}", **extra)
        inputs, outputs = min(par, weight.shape[1]), min(par, weight.shape[0])
        wire.attribute(par_ich=inputs, par_och=outputs, cshamt_out=int(data["shifts"][i]))
    return source, wire


def memory_image(source: Any, target: Any, sample: Any, par: int) -> tuple[Any, int]:
    """Memory with the input and the parameters, and the first free address."""
    parameters = ng.export_ndarray([target], CHUNK)

    def above(address: int) -> int:
        return math.ceil(address / CHUNK) * CHUNK

    variables = above(source.addr + source.memory_size)
    spare = above(variables + len(parameters))
    memory = np.full(1 << 14, 100, dtype=np.int64)
    axi.set_memory(memory, sample, WIDTH, 8, source.addr, max(WIDTH // 8, par))
    axi.set_memory(memory, parameters, WIDTH, 8, variables)
    return memory, spare


def bench(design: Any, target: Any, memory: Any, spare: int, count: int) -> str:
    """Verilog of the test bench with the design in it."""
    m = vg.Module("test")
    m.copy_params(design)
    ports = m.copy_sim_ports(design)
    clock, reset_n = ports["CLK"], ports["RESETN"]
    reset = m.Wire("RST")
    reset.assign(vg.Not(reset_n))
    model = axi.AxiMemoryModel(
        m,
        "memory",
        clock,
        reset,
        datawidth=WIDTH,
        mem_addrwidth=16,
        memimg=memory,
        memimg_name="memory.img",
        memimg_datawidth=WIDTH,
    )
    model.connect(ports, "maxi")
    control = vthread.AXIMLite(m, "_saxi", clock, reset, noio=True)
    control.connect(ports, "saxi")
    counter = m.Reg("cycle_counter", 32, initval=0)
    vg.Seq(m, "count", clock, reset)(counter.inc())

    def run() -> None:
        for _ in range(100):
            pass
        ng.sim.set_global_addrs(control, spare)
        start = counter.value
        ng.sim.start(control)
        ng.sim.wait(control)
        print("cycles %d" % (counter.value - start))  # noqa: UP031 (becomes Verilog)
        for j in range(count):
            word = model.read_word(j, target.addr, 8)
            print("output %d %d" % (j, word))  # noqa: UP031
        vthread.finish()

    vthread.Thread(m, "control", clock, reset, run).start()
    m.Instance(design, "uut", params=m.connect_params(design), ports=m.connect_ports(design))
    simulation.setup_clock(m, clock, hperiod=5)
    simulation.setup_reset(m, reset_n, m.make_reset(), period=100, polarity="low")
    return m.to_verilog()


def main(path: str, folder: str, par: int, scale: bool) -> None:
    """Write design.v, bench.v and memory.img; answer with what NNgen's own software model computes."""
    directory = Path(folder)
    directory.mkdir(parents=True, exist_ok=True)
    data = dict(np.load(path))
    os.chdir(directory)
    start = time.perf_counter()
    source, target = network(data, par, scale)
    sample = data["inputs"][:1]
    outputs = ng.eval([target], source=sample)[0].reshape(-1).tolist()
    design = ng.to_veriloggen([target], "nngen_mlp", silent=True, config={"maxi_datawidth": WIDTH})
    text = design.to_verilog()
    seconds = time.perf_counter() - start
    Path("design.v").write_text(text)
    memory, spare = memory_image(source, target, sample, par)
    Path("bench.v").write_text(bench(design, target, memory, spare, len(outputs)))
    say(
        outputs=outputs,
        generate_seconds=seconds,
        lines=text.count("\n"),
        versions=versions("nngen", "veriloggen", "numpy"),
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "1")
