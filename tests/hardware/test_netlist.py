"""The cell models: netlists of every kind of memory and multiplier run like their RTL, and planted faults
are seen.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.small_designs import Port, clocked, memory, stage, staged

from intaglio.hardware.netlist import Fault, cell_models, netlist, plant_fault
from intaglio.hardware.rtl import Rtl, Words
from intaglio.hardware.simulate import Trace, build
from intaglio.hardware.synthesize import Synthesis, synthesize
from intaglio.ir.errors import ToolError

# Width and depth of memories that need every width of the block: 1, 2, 4, 9, 18 and 36 bits, whole and in
# part.
ROMS = ((1, 16384), (2, 8192), (4, 4096), (9, 2048), (18, 1024), (36, 512), (13, 1500), (5, 300))
RAMS = ((1, 16384, 1), (2, 8192, 1), (4, 4096, 1), (9, 2048, 1), (18, 1024, 1), (36, 512, 1), (40, 600, 1),
        (4, 16, 0), (7, 40, 0))  # fmt: skip
MULTIPLIERS = (
    (8, 1, 8, 1),
    (8, 0, 8, 1),
    (8, 0, 8, 0),
    (18, 1, 18, 1),
    (18, 0, 18, 0),
    (12, 0, 5, 1),
    (20, 1, 9, 1),
)


def words_of(rtl: Rtl, frames: int, seed: int) -> Words:
    rng = np.random.default_rng(seed)
    words = rng.integers(0, 2**32, (frames, rtl.inputs[0].beats, rtl.inputs[0].words), dtype=np.uint32)
    spare = 32 * rtl.inputs[0].words - rtl.inputs[0].width
    words[..., -1] >>= spare
    return words


def roms(directory: Path) -> Rtl:
    rng = np.random.default_rng(1)
    ports, memories = [], []
    for index, (width, depth) in enumerate(ROMS):
        content = memory(directory, f"rom{index}", rng.integers(0, 2**width, depth).tolist(), width)
        memories.append(content)
        body = f"""  rom #(.WIDTH({width}), .DEPTH({depth}), .FILE("{content.name}")) u_rom{index} (
    .clk_i(clk_i), .addr_i(data_i[13:0]), .data_o({{output}}));
"""
        ports.append(Port(body, 14 if index == 0 else 0, width))
    return clocked(directory, ("rom.sv",), ports, 4, 1, tuple(memories))


def rams(directory: Path) -> Rtl:
    """One write and one read port, with their enables in the lowest bits of the input and addresses above
    them.
    """
    ports = [Port("  wire unused = ^{input};\n  assign {output} = 1'b0;\n", 30, 1)]
    for index, (width, depth, block) in enumerate(RAMS):
        ports.append(Port(f"""  ram #(.WIDTH({width}), .DEPTH({depth}), .BLOCK({block})) u_ram{index} (
    .clk_i(clk_i), .we_i(data_i[0]), .waddr_i(data_i[15:2]), .wdata_i({{input}}),
    .re_i(data_i[1]), .raddr_i(data_i[29:16]), .rdata_o({{output}}));
""", width, width))  # fmt: skip
    return clocked(directory, ("ram.sv",), ports, 4, 1)


def multipliers(directory: Path) -> Rtl:
    ports = []
    for index, (a, a_signed, b, b_signed) in enumerate(MULTIPLIERS):
        parameters = f".A_BITS({a}), .A_SIGNED({a_signed}), .B_BITS({b}), .B_SIGNED({b_signed})"
        ports.append(Port(f"""  multiply #({parameters}) u_multiply{index} (
    .clk_i(clk_i), .a_i(data_i[{{low}} +: {a}]), .b_i(data_i[{{low}} + {a} +: {b}]), .p_o({{output}}));
""", a + b, a + b))  # fmt: skip
    return clocked(directory, ("multiply.sv",), ports, 4, 1)


def both(rtl: Rtl, words: Words) -> tuple[Synthesis, Trace, Trace]:
    synthesis = synthesize(rtl)
    return synthesis, build(rtl).run(words), build(netlist(rtl, synthesis)).run(words)


def mutant(
    rtl: Rtl, synthesis: Synthesis, directory: Path, seed: int, cells: tuple[str, ...]
) -> tuple[Rtl, Fault]:
    text, fault = plant_fault(synthesis.verilog.read_text(), seed, cells)
    changed = directory / f"mutant{seed}.v"
    changed.write_text(text)
    good = netlist(rtl, synthesis)
    return replace(good, sources=(*good.sources[:-1], changed)), fault


def all_addresses(rtl: Rtl) -> Words:
    """Every address of a 14-bit port once, in random order."""
    order = np.random.default_rng(2).permutation(2**14).astype(np.uint32)
    return order.reshape(-1, rtl.inputs[0].beats, 1)


def test_roms_of_every_width(tmp_path: Path):
    rtl = roms(tmp_path)
    words = all_addresses(rtl)
    synthesis, reference, found = both(rtl, words)
    assert synthesis.bram >= len(ROMS)
    text = synthesis.verilog.read_text()
    for width in (1, 2, 4, 9, 18):
        assert f".DATA_WIDTH_A(32'd{width})" in text or f".DATA_WIDTH_B(32'd{width})" in text, width
    assert np.array_equal(found.words, reference.words)
    for seed in range(2):
        bad, fault = mutant(rtl, synthesis, tmp_path, seed, ("DP16KD",))
        assert not np.array_equal(build(bad).run(words).words, reference.words), fault


def test_rams_of_every_width_and_in_tables(tmp_path: Path):
    rtl = rams(tmp_path)
    words = words_of(rtl, 12_000, 3)
    # Every word is written before any is read: the device does not promise what memories power up with.
    words[:4096, :, 0] = (np.arange(2**14, dtype=np.uint32) << 2 | 1).reshape(4096, 4)
    # Then addresses repeat often, so that what was written is read again, now and then in the same cycle.
    words[4096::2, :, 0] &= np.uint32(0x000F_003F)
    synthesis, reference, found = both(rtl, words)
    assert synthesis.bram >= 7
    assert synthesis.dpr >= 4
    assert np.array_equal(found.words[4110:], reference.words[4110:])
    assert len(np.unique(reference.words[4110:, :, -1])) > 100


def test_multipliers_of_every_sign(tmp_path: Path):
    rtl = multipliers(tmp_path)
    words = words_of(rtl, 5_000, 4)
    words[:40] = np.where(np.random.default_rng(5).random(words[:40].shape) < 0.5, words[:40], 0)
    words[40:80] |= words[80:120] | words[120:160] | words[160:200]  # mostly ones: the extremes
    synthesis, reference, found = both(rtl, words)
    assert synthesis.dsp >= len(MULTIPLIERS)
    assert np.array_equal(found.words, reference.words)
    for seed in range(2):
        bad, fault = mutant(rtl, synthesis, tmp_path, seed, ("MULT18X18D",))
        assert not np.array_equal(build(bad).run(words).words, reference.words), fault


def frames(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(-128, 128, (count, 5, 4))


@pytest.mark.parametrize("extra", ["", "-widelut"])
def test_a_stream_design_runs_alike_under_stalls_and_resets(extra: str, tmp_path: Path):
    rtl = stage(tmp_path)
    simulator = build(netlist(rtl, synthesize(rtl, extra=extra)))
    options = {"stall_in": 0.4, "stall_out": 0.4, "resets": (30, 90), "seed": 8}
    y, found = simulator.values(frames(100), **options)
    reference = build(rtl).values(frames(100), **options)[1]
    assert np.array_equal(y, staged(frames(100)))
    assert np.array_equal(found.last_out, reference.last_out)
    assert np.array_equal(found.first_in, reference.first_in)
    assert found.violations == ()
    assert np.array_equal(simulator.values(frames(10), randomise=True, seed=2)[0], staged(frames(10)))


def test_planted_logic_faults_are_seen(tmp_path: Path):
    """A flipped bit may be redundant (rtl_findings: 2 of 11 were), so most must be seen, not all."""
    rtl = stage(tmp_path)
    synthesis = synthesize(rtl)
    options = {"stall_in": 0.3, "stall_out": 0.5, "seed": 1, "patience": 2000}
    seen = 0
    for seed in range(4):
        bad, _ = mutant(rtl, synthesis, tmp_path, seed, ("LUT4", "CCU2C"))
        y, trace = build(bad).values(frames(300), **options)
        seen += bool(trace.violations) or not trace.finished or not np.array_equal(y, staged(frames(300)))
    assert seen >= 2


def test_faults_are_reproducible_and_change_one_thing(tmp_path: Path):
    text = synthesize(stage(tmp_path)).verilog.read_text()
    (one, fault), (again, _), (other, _) = (plant_fault(text, seed) for seed in (1, 1, 2))
    assert one == again != other
    assert fault.instance in text
    assert sum(a != b for a, b in zip(text.splitlines(), one.splitlines(), strict=True)) == 1
    with pytest.raises(ToolError, match="DP16KD"):
        plant_fault(text, 0, ("DP16KD",))


def test_there_is_a_model_for_every_cell_and_none_for_other_families(tmp_path: Path):
    rtl = stage(tmp_path)
    assert {p.stem for p in cell_models()} >= {"ecp5_lut4", "ecp5_dp16kd", "ecp5_mult18x18d", "ecp5_ccu2c"}
    with pytest.raises(ToolError, match="ice40"):
        netlist(rtl, replace(synthesize(rtl), target="ice40"))
