"""Modules written for a technology compute what the portable ones do: proved by SAT for small parameters, with Yosys'
own models of the cells, and simulated as a netlist for large ones, with ours. Planted faults are seen by both.
"""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.small_designs import Port, clocked

from intaglio.hardware import tools
from intaglio.hardware.emit import LIBRARY, library_sources
from intaglio.hardware.netlist import netlist, plant_fault
from intaglio.hardware.rtl import Rtl, Words
from intaglio.hardware.simulate import build
from intaglio.hardware.synthesize import synthesize
from intaglio.ir.errors import ToolError

ECP5 = LIBRARY / "ecp5"
BINDINGS = {path.stem for path in ECP5.glob("*.sv") if (LIBRARY / path.name).exists()}
# SIMD, A_BITS, A_SIGNED, REGISTERS of ig_plane, each for every KIND.
PLANES = ((1, 3, 1, 0), (2, 1, 0, 1), (2, 2, 1, 0), (3, 1, 0, 3), (4, 2, 0, 2), (5, 2, 1, 1), (6, 3, 1, 4),
          (7, 2, 0, 5), (8, 3, 0, 0), (8, 1, 0, 7), (9, 2, 1, 2), (12, 1, 0, 4), (15, 1, 0, 10))  # fmt: skip
SHIFTS = (
    {"SIMD": 1, "A_BITS": 2, "W_BITS": 3, "W_EXP_BITS": 1},
    {"SIMD": 2, "A_BITS": 2, "A_SIGNED": 1, "W_BITS": 4, "W_EXP_BITS": 2},
    {"SIMD": 3, "A_BITS": 3, "A_EXP_BITS": 2, "W_BITS": 3, "W_EXP_BITS": 0, "PE": 2, "SIDE_BITS": 3},
    {"SIMD": 4, "A_BITS": 3, "A_EXP_BITS": 2, "W_BITS": 5, "W_EXP_BITS": 3},
)
INSTANCES = (
    ("ig_dot", "SIMD(6), .A_BITS(8), .W_BITS(4)", 48, 24, 15),
    ("ig_dot", "SIMD(9), .A_BITS(3), .A_SIGNED(1), .W_BITS(2)", 27, 18, 9),
    ("ig_dot_binary", "SIMD(32), .A_BITS(1)", 32, 32, 7),
    ("ig_dot_binary", "SIMD(7), .A_BITS(5), .A_SIGNED(1)", 35, 7, 9),
    ("ig_dot_ternary", "SIMD(8), .A_BITS(4)", 32, 16, 8),
    ("ig_dot_shift", "SIMD(4), .A_BITS(5), .W_BITS(5), .W_EXP_BITS(3)", 20, 20, 19),
    ("ig_dot_bases", "SIMD(5), .A_BITS(4), .COEFFICIENTS({{-32'd3, 32'd7}})", 20, 10, 40),
)


def header(path: Path) -> str:
    """Parameters and ports."""
    found = re.search(r"^module .*?^\);", path.read_text(), re.M | re.S)
    assert found, path
    return found[0]


def proof(module: str, values: dict[str, int], latency: int) -> str:
    """Script: after the latency both give the same, whatever was in their registers and came in meanwhile."""
    sets = " ".join(f"-set {name} {value}" for name, value in values.items())
    others = "ig_tree.sv ig_multiply.sv ig_delay.sv"
    design = f"chparam {sets} {module}\nhierarchy -top {module}\nproc\nflatten\nopt_clean"
    return f"""design -reset
read_verilog -sv -defer {module}.sv {others}
{design}
design -save portable
design -reset
read_verilog -sv -overwrite +/ecp5/cells_sim.v
read_verilog -sv -defer bound.sv ig_chains.sv {others}
{design}
design -copy-from portable -as portable {module}
miter -equiv -flatten -make_outputs portable {module} both
hierarchy -top both
async2sync
opt -full
sat -verify -seq {latency + 1} -prove-skip {latency} -prove trigger 0 both
"""


def plane(kind: int, simd: int, a_bits: int, a_signed: int, registers: int) -> str:
    values = {"SIMD": simd, "A_BITS": a_bits, "A_SIGNED": a_signed, "KIND": kind, "REGISTERS": registers}
    levels = (1 << (simd - 1).bit_length()) - 1
    return proof("ig_plane", values, 1 + (registers & levels).bit_count())


def shift(values: dict[str, int]) -> str:
    return proof("ig_dot_shift", values, 2 - -(values["SIMD"] - 1).bit_length() // 2)


def prove(work: Path, script: str, module: str, wrong: tuple[str, str] = ("", "")) -> None:
    """Run proofs; `wrong`: what to write instead of what in the binding's carry cells."""
    for name in (module, "ig_tree", "ig_multiply", "ig_delay"):
        (work / f"{name}.sv").write_text((LIBRARY / f"{name}.sv").read_text())
    (work / "bound.sv").write_text((ECP5 / f"{module}.sv").read_text())
    (work / "ig_chains.sv").write_text((ECP5 / "ig_chains.sv").read_text().replace(*wrong))
    tools.yosys(script, work)


def dots(directory: Path) -> Rtl:
    """One instance of each dot product, side by side."""
    ports = []
    for index, (module, parameters, a, w, out) in enumerate(INSTANCES):
        body = f"""  {module} #(.{parameters}) u{index} (
    .clk_i(clk_i), .rst_ni(rst_ni), .valid_i(1'b1), .data_i(data_i[{{low}} +: {a + w}]), .end_i(1'b0), .last_i(1'b0),
    .valid_o(), .data_o({{output}}), .end_o(), .last_o());
"""
        ports.append(Port(body, a + w, out))
    sources = library_sources("".join(port.text for port in ports))
    return clocked(directory, tuple(map(str, sources)), ports, 4, 6)


def words_of(rtl: Rtl, frames: int) -> Words:
    """Random words; some of zeros, some of ones, some of either."""
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**32, (frames, rtl.inputs[0].beats, rtl.inputs[0].words), dtype=np.uint32)
    words[: frames // 4] = rng.choice(np.array([0, 2**32 - 1], np.uint32), words[: frames // 4].shape)
    words[:2] = np.array([0, 2**32 - 1], np.uint32)[:, None, None]
    words[..., -1] >>= 32 * rtl.inputs[0].words - rtl.inputs[0].width
    return words


def test_a_binding_has_the_boundary_of_the_portable_module():
    assert BINDINGS
    for module in BINDINGS:
        assert header(ECP5 / f"{module}.sv") == header(LIBRARY / f"{module}.sv")


def test_bindings_are_short_and_every_file_belongs_to_one():
    text = {path.stem: path.read_text() for path in ECP5.glob("*.sv")}
    assert all(len(lines.splitlines()) <= 400 for lines in text.values())
    for helper in text.keys() - BINDINGS:
        assert any(f"\n  {helper} #(" in text[module] for module in BINDINGS), helper


@pytest.mark.parametrize("kind", range(3))
def test_planes_are_proved_equal(kind: int, tmp_path: Path):
    prove(tmp_path, "".join(plane(kind, *values) for values in PLANES), "ig_plane")


def test_shifts_are_proved_equal(tmp_path: Path):
    prove(tmp_path, "".join(map(shift, SHIFTS)), "ig_dot_shift")


@pytest.mark.parametrize(("kind", "table", "wrong"), [(0, "7888", "7880"), (1, "6996", "6997"), (2, "6996", "e996")])
def test_a_wrong_table_is_seen_by_the_proof(kind: int, table: str, wrong: str, tmp_path: Path):
    with pytest.raises(ToolError, match="proof did fail"):
        prove(tmp_path, plane(kind, 5, 2, 0, 1), "ig_plane", (f"16'h{table}", f"16'h{wrong}"))


def test_the_binding_is_used_and_its_netlist_runs_like_the_portable_rtl(tmp_path: Path):
    rtl = dots(tmp_path)
    words = words_of(rtl, 500)
    reference = build(rtl).run(words).words
    synthesis = synthesize(rtl, dsp=False)
    portable = synthesize(rtl, dsp=False, bindings=False)
    assert synthesis.lut4_eq and portable.lut4_eq and synthesis.lut4_eq < 0.85 * portable.lut4_eq
    good = netlist(rtl, synthesis)
    assert np.array_equal(build(good).run(words).words, reference)
    text, fault = plant_fault(synthesis.verilog.read_text(), 0, ("CCU2C",))
    (tmp_path / "mutant.v").write_text(text)
    bad = replace(good, sources=(*good.sources[:-1], tmp_path / "mutant.v"))
    assert not np.array_equal(build(bad).run(words).words, reference), fault


def test_only_the_technology_that_has_one_gets_a_binding(tmp_path: Path):
    rtl = dots(tmp_path)
    bound = {path.name: path for path in rtl.bound("ecp5").sources}
    assert set(bound) == {path.name for path in rtl.sources} | {"ig_chains.sv"}
    assert bound["ig_plane.sv"] == ECP5 / "ig_plane.sv"
    assert bound["ig_tree.sv"] == LIBRARY / "ig_tree.sv"
    assert rtl.bound("ice40") == rtl
