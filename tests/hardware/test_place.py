"""Place and route: a real bitstream, honest when it does not fit, and a harness that changes nothing
inside.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from support.small_designs import stage

from intaglio.hardware import tools
from intaglio.hardware.design import Fold, carve
from intaglio.hardware.emit import emit
from intaglio.hardware.harness import harnessed
from intaglio.hardware.place import DEVICES, fits, place
from intaglio.hardware.synthesize import synthesize
from intaglio.ir.errors import DesignError, ToolError
from intaglio.ir.graph import Builder
from intaglio.ir.ops import Input
from intaglio.ir.types import Type


def test_a_small_design_reaches_a_bitstream(tmp_path: Path):
    synthesis = synthesize(stage(tmp_path))
    placed = place(synthesis, "25k", seeds=(1, 2, 3))
    assert sorted(placed.by_seed) == [1, 2, 3]
    assert sorted(placed.by_seed.values())[1] == placed.fmax_mhz
    assert 50 < placed.fmax_mhz < 400
    assert placed.ff == synthesis.ff
    assert placed.comb >= synthesis.lut + 2 * synthesis.carry
    assert placed.utilisation["TRELLIS_IO"][0] == synthesis.pins
    assert placed.utilisation["TRELLIS_COMB"][1] == DEVICES["25k"].comb
    assert not placed.harness
    bits = placed.bitstream.read_bytes()
    assert b"LFE5U-25F" in bits[:200]
    assert len(bits) > 50_000
    assert "nextpnr-ecp5 0." in placed.tool


def test_more_pins_than_the_package_bring_the_harness(tmp_path: Path):
    synthesis = synthesize(stage(tmp_path, lanes=12))
    assert synthesis.pins > max(DEVICES["25k"].packages.values())
    placed = place(synthesis, "25k")
    assert placed.harness
    assert placed.utilisation["TRELLIS_IO"][0] == 12
    # The design as it was, and one flip-flop for every bit of the two data ports.
    assert placed.ff == synthesis.ff + synthesis.input_bits + synthesis.output_bits


def test_the_package_follows_the_pins(tmp_path: Path):
    synthesis = synthesize(stage(tmp_path, lanes=12))
    assert place(synthesis, "45k").package == "CABGA554"
    assert not place(synthesis, "45k").harness
    assert place(synthesis, "45k", package="CABGA256").harness
    with pytest.raises(DesignError, match=r"no package TQFP9.*CABGA381"):
        place(synthesis, "45k", package="TQFP9")


def test_what_does_not_fit_says_by_how_much_and_what_would(tmp_path: Path):
    synthesis = synthesize(stage(tmp_path))
    with pytest.raises(DesignError, match=r"90 multipliers, 62 more than its 28.*use 85k"):
        fits(replace(synthesis, dsp=90), DEVICES["25k"])
    with pytest.raises(DesignError, match=r"60 block RAMs, 4 more than its 56.*use 45k or 85k"):
        place(replace(synthesis, bram=60), "25k")
    with pytest.raises(DesignError, match=r"look-up tables, 6360 more.*: fold the design more"):
        place(replace(synthesis, lut4_eq=90_000), "85k")


def test_wrong_requests_are_refused(tmp_path: Path):
    synthesis = synthesize(stage(tmp_path))
    with pytest.raises(DesignError, match=r"unknown device '100k'.*45k"):
        place(synthesis, "100k")
    with pytest.raises(DesignError, match="no seeds"):
        place(synthesis, seeds=())
    with pytest.raises(ToolError, match="ice40"):
        place(replace(synthesis, target="ice40"))


def test_the_harness_leaves_the_design_as_it_was(tmp_path: Path):
    """Around it are one flip-flop for every bit of the two data ports and look-up tables alone."""
    synthesis = synthesize(stage(tmp_path, lanes=12))
    modules = json.loads(harnessed(synthesis, tmp_path / "cache").read_text())["modules"]
    found = Counter(cell["type"] for cell in modules["ig_harness"]["cells"].values())
    assert len(modules["ig_harness"]["ports"]) == 12
    assert found.pop("TRELLIS_FF") == synthesis.ff + synthesis.input_bits + synthesis.output_bits
    assert 0 <= found.pop("LUT4") - synthesis.lut <= synthesis.input_bits + synthesis.output_bits
    assert found == {name: n for name, n in synthesis.cells.items() if name not in ("TRELLIS_FF", "LUT4")}


def test_the_harness_takes_streams_side_by_side(tmp_path: Path):
    """Two streams in and two out: three pins of handshake each, one shift register for all data of a way."""
    builder = Builder()
    wires = [builder.add(name, Input(Type((size,), (0, 255)))) for name, size in (("a", 3), ("b", 5))]
    design = carve(builder.graph(wires[::-1]), {"a": Fold(3), "b": Fold(5)})
    rtl = emit(design, tmp_path)
    synthesis = synthesize(rtl)
    assert (synthesis.inputs, synthesis.outputs) == ({"a_": 24, "b_": 40}, {"b_": 40, "a_": 24})
    assert synthesis.pins == 2 + 128 + 12
    module = json.loads(harnessed(synthesis, tmp_path / "cache").read_text())["modules"]["ig_harness"]
    assert sum(len(port["bits"]) for port in module["ports"].values()) == 2 + 12 + 4
    found = Counter(cell["type"] for cell in module["cells"].values())
    assert found["TRELLIS_FF"] == synthesis.ff + 128
    placed = place(synthesis, "25k", package="CABGA256")
    assert placed.utilisation["TRELLIS_IO"][0] == synthesis.pins


def lying(monkeypatch: pytest.MonkeyPatch, program: str, spoil: Callable[[Path], object]) -> None:
    """A placer or packer that does its work, spoils what it left, and says that it succeeded."""
    real = tools.yowasp

    def yowasp(package: str, function: str, arguments: list[str], cwd: Path, makes: Sequence[str] = ()) -> str:
        output = real(package, function, arguments, cwd)
        if function == program:
            spoil(cwd)
            for name in makes:
                tools.require(program, cwd / name, tools.file_written(cwd / name))
        return output

    monkeypatch.setattr(tools, "yowasp", yowasp)


def cut(name: str, share: float = 0.5) -> Callable[[Path], object]:
    """Leaves the first part of a file, whole lines where there are lines."""

    def spoil(work: Path) -> None:
        content = (work / name).read_bytes()
        kept = content[: int(share * len(content))]
        (work / name).write_bytes(kept[: kept.rindex(b"\n\n") + 2] if name.endswith(".cfg") else kept)

    return spoil


@pytest.mark.parametrize(("program", "spoil", "words"), [
    ("run_nextpnr_ecp5", lambda work: (work / "report.json").unlink(), r"report\.json is missing"),
    ("run_nextpnr_ecp5", cut("report.json"), r"nextpnr ended with success, but its result report\.json is cut off"),
    ("run_nextpnr_ecp5", lambda work: (work / "report.json").write_text("{}"), r"report\.json is cut off or is some"),
    ("run_nextpnr_ecp5", cut("design.cfg"), r"nextpnr ended with success, but its result design\.cfg is cut off"),
    ("run_ecppack", cut("design.bit", 0.999), r"ecppack ended with success, but its result design\.bit is cut off"),
])  # fmt: skip
def test_a_placer_that_ends_well_without_a_whole_result(
    program: str, spoil: Callable[[Path], object], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    synthesis, cache = synthesize(stage(tmp_path)), tmp_path / "cache"
    lying(monkeypatch, program, spoil)
    with pytest.raises(ToolError, match=words):
        place(synthesis, "25k", cache=cache)
    assert [path.suffix for path in (cache / "placements").iterdir()] == [".lock"]
