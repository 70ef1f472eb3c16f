"""Conformance of the technologies: a new one inherits these tests by being registered."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.small_designs import Port, clocked

from intaglio.hardware.design import Design, carve
from intaglio.hardware.emit import LIBRARY, emit
from intaglio.hardware.memory import Memory
from intaglio.hardware.netlist import netlist
from intaglio.hardware.place import DEVICES, device, family, place
from intaglio.hardware.rtl import Rtl
from intaglio.hardware.simulate import build
from intaglio.hardware.synthesize import Synthesis, synthesize
from intaglio.hardware.technology import TECHNOLOGIES, Technology, named
from intaglio.hardware.verify import compare
from intaglio.ir.errors import DesignError, ToolError
from tests.test_golden import dense

every_technology = pytest.mark.parametrize("technology", TECHNOLOGIES, ids=lambda technology: technology.name)


def golden(directory: Path) -> tuple[Design, Rtl]:
    """A folded dense layer: FIFOs, a window, multiplications, tables."""
    graph, folding = dense()
    design = carve(graph, folding, dsp=False)
    return design, emit(design, directory)


def ram(directory: Path, depth: int, block: int) -> Rtl:
    """A memory of 4-bit words."""
    text = f"""  ram #(.WIDTH(4), .DEPTH({depth}), .BLOCK({block})) u_ram (
    .clk_i(clk_i), .we_i(data_i[0]), .waddr_i(data_i[14:1]), .wdata_i(data_i[18:15]),
    .re_i(1'b1), .raddr_i(data_i[32:19]), .rdata_o({{output}}));
"""
    return clocked(directory, ("ram.sv",), [Port(text, 33, 4)], 1, 1)


def multiplier(directory: Path) -> Rtl:
    text = """  multiply #(.A_BITS(16), .A_SIGNED(1), .B_BITS(16), .B_SIGNED(1)) u_multiply (
    .clk_i(clk_i), .a_i(data_i[15:0]), .b_i(data_i[31:16]), .p_o({output}));
"""
    return clocked(directory, ("multiply.sv",), [Port(text, 32, 32)], 1, 1)


def table(directory: Path, depth: int, width: int, block: int) -> Rtl:
    """A table of random constants in a memory block or in look-up tables."""
    words = np.random.default_rng(0).integers(0, 2**width, depth).tolist()
    memory = Memory("table", width, tuple(words))
    (directory / memory.name).write_text(memory.text)
    bits = (depth - 1).bit_length()
    text = f"""  ig_rom #(.WIDTH({width}), .DEPTH({depth}), .FILE("{memory.name}"), .BLOCK({block})) u_rom (
    .clk_i(clk_i), .addr_i(data_i[{bits - 1}:0]), .data_o({{output}}));
"""
    rom, files = str(LIBRARY / "ig_rom.sv"), (directory / memory.name,)
    return clocked(directory, (rom,), [Port(text, bits, width)], 1, 2, files)


def in_netlist(synthesis: Synthesis) -> Counter[str]:
    """Cells of the netlist by type, counted by ourselves."""
    modules = json.loads(synthesis.json.read_text())["modules"]
    return Counter(cell["type"] for cell in modules[synthesis.top]["cells"].values())


def test_names_of_technologies_and_devices_are_unique():
    assert len({t.name for t in TECHNOLOGIES}) == len({t.title for t in TECHNOLOGIES}) == len(TECHNOLOGIES)
    assert len(DEVICES) == sum(len(t.placer.devices) for t in TECHNOLOGIES if t.placer)
    with pytest.raises(ToolError, match=r"unknown synthesis target 'asic': use one of ecp5"):
        named("asic")


@every_technology
def test_a_design_is_counted_whole(technology: Technology, tmp_path: Path):
    _, rtl = golden(tmp_path)
    s = synthesize(rtl, technology.name, dsp=False)
    found, kinds = in_netlist(s), technology.cells
    assert s.cells == found
    numbers = {"lut": s.lut, "ff": s.ff, "dsp": s.dsp, "bram": s.bram, "dpr": s.dpr, "carry": s.carry}
    for kind, number in numbers.items():
        assert number == sum(n for name, n in found.items() if kinds.number(getattr(kinds, kind), {name: 1})), kind
        assert not number or getattr(kinds, kind), kind
    # The sums of the layer's three rows and the registers behind them are there, whatever they are made of.
    assert s.lut > 100 and s.ff > 200 and s.dsp == 0
    unknown = {name: n for name, n in found.items() if not kinds.known(name)}
    assert sum(unknown.values()) < 0.05 * found.total(), unknown
    assert (s.lut4_eq is None) == (kinds.weights is None)
    assert s.lut4_eq is None or s.lut4_eq >= s.lut
    assert Synthesis.load(s.directory) == s and s.target == technology.name
    text = s.verilog.read_text()
    assert f"module {rtl.top}(" in text and text.rstrip().endswith("endmodule")


@every_technology
def test_multipliers_are_used_when_allowed(technology: Technology, tmp_path: Path):
    with_dsp, without = (synthesize(multiplier(tmp_path), technology.name, dsp=dsp) for dsp in (True, False))
    assert (with_dsp.dsp > 0) == bool(technology.cells.dsp)
    assert without.dsp == 0 and without.lut > 100
    assert (with_dsp.flags != without.flags) == bool(technology.cells.dsp)


@every_technology
def test_memories_become_what_the_technology_has(technology: Technology, tmp_path: Path):
    small = synthesize(ram(tmp_path, 16, 0), technology.name)
    assert (small.dpr > 0) == bool(technology.cells.dpr)
    assert small.dpr or small.bram or small.ff > 64
    blocks = ram(tmp_path, 128, 1)
    if technology.cells.bram:
        assert synthesize(blocks, technology.name).bram > 0
        return
    with pytest.raises(ToolError, match=rf"\({technology.name}\) has no block RAM.*bram=False.*or for one of ecp5"):
        synthesize(blocks, technology.name)
    assert synthesize(blocks, technology.name, bram=False).ff > 4 * 128


@every_technology
def test_the_memory_rule_saves_look_up_tables(technology: Technology, tmp_path: Path):
    """The smallest table that the rule puts into a block RAM takes fewer look-up tables there."""
    rule = technology.memory
    assert (rule is None) == (not technology.cells.bram)
    if rule is None:
        assert not Memory("table", 64, (1,) * 4096).in_block_ram(technology=technology)
        return
    depth, width = rule.depth, -(-rule.bits // rule.depth)
    assert Memory("table", width, (0,) * depth).in_block_ram(technology=technology)
    assert not Memory("table", width - 1, (0,) * depth).in_block_ram(technology=technology)
    assert not Memory("table", 4 * width, (0,) * (depth - 1)).in_block_ram(technology=technology)
    assert Memory("table", 1, (0,) * rule.spare_depth).in_block_ram(True, technology)
    assert not Memory("table", width, (0,) * (rule.spare_depth - 1)).in_block_ram(True, technology)
    assert rule.ring_in_block(rule.ring + 1) and not rule.ring_in_block(rule.ring) and rule.ring_in_block(1, True)
    block, logic = (synthesize(table(tmp_path, depth, width, block), technology.name) for block in (1, 0))
    assert block.bram > 0 == logic.bram
    assert block.lut < logic.lut


@every_technology
def test_its_netlist_computes_what_the_graph_does_or_says_why_not(technology: Technology, tmp_path: Path):
    design, rtl = golden(tmp_path)
    synthesis = synthesize(rtl, technology.name, dsp=False)
    if technology.models is None:
        with pytest.raises(ToolError, match=rf"no cell models for .*\({technology.name}\): synthesise for ecp5"):
            netlist(rtl, synthesis)
        return
    inputs = np.random.default_rng(0).integers(0, 16, (20, 8))
    result = compare(design, build(netlist(rtl, synthesis), optimise=0), inputs, stall_in=0.3, stall_out=0.3, seed=1)
    assert result.equal and result.values == 20


@every_technology
def test_it_is_placed_or_says_who_is(technology: Technology, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    synthesis = synthesize(golden(tmp_path)[1], technology.name, dsp=False)
    if technology.placer is None:
        with pytest.raises(ToolError, match=f"a netlist for {technology.name} cannot be placed: .* for ecp5"):
            place(synthesis)
        return
    for each in technology.placer.devices:
        assert device(each.name) == each and family(each.name) == technology
        assert list(each.packages.values()) == sorted(each.packages.values())
        assert min(each.comb, each.ff, each.bram) > 0
    smallest = technology.placer.devices[0]
    monkeypatch.setitem(DEVICES, "another", replace(smallest, name="another"))
    with pytest.raises(DesignError, match=f"another takes no netlist for {technology.name}: use "):
        place(synthesis, "another")
    with pytest.raises(DesignError, match=f"does not fit {smallest.name}: {smallest.ff + 1} flip-flops, 1 more"):
        place(replace(synthesis, ff=smallest.ff + 1), smallest.name)


@every_technology
def test_a_flag_that_yosys_does_not_know_is_refused(technology: Technology, tmp_path: Path):
    with pytest.raises(ToolError, match="no-such-flag"):
        synthesize(multiplier(tmp_path), technology.name, extra="-no-such-flag")


@every_technology
def test_its_own_modules_and_models_are_there(technology: Technology):
    assert not technology.bindings or any((LIBRARY / technology.bindings).glob("ig_*.sv"))
    files = technology.models.files if technology.models else ""
    assert not files or any((LIBRARY / "cells").glob(files))
