"""Place and route by nextpnr, to a clock frequency and a bitstream, cached by content and seed."""

import json
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from intaglio.files import content_key
from intaglio.hardware import tools
from intaglio.hardware.cache import cached
from intaglio.hardware.harness import harnessed
from intaglio.hardware.synthesize import Synthesis
from intaglio.hardware.technology import TECHNOLOGIES, Device, Placer, Technology
from intaglio.ir.errors import DesignError, ToolError
from intaglio.reading import parse_json

__all__ = ["DEVICES", "Device", "Placement", "device", "family", "fits", "place"]

_RECORD = "placement.json"
_NEXTPNR = "--json netlist.json --report report.json --timing-allow-fail -q -l nextpnr.log"
_PLACERS = {technology.name: technology.placer for technology in TECHNOLOGIES if technology.placer}
DEVICES = {device.name: device for placer in _PLACERS.values() for device in placer.devices}


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
    """Place and route a synthesised design, once per seed.

    device: one of DEVICES, of the family that the design was synthesised for (ECP5: 12k, 25k, 45k or 85k); package: the
    smallest with enough pins unless named; speed: grade (ECP5: 6, 7 or 8); frequency: what is asked for, in MHz;
    missing it is no error.
    Raises DesignError when the design does not fit (with what is missing and what would do), ToolError for
    tools.
    """
    placer = _placer(synthesis)
    chosen = _device(synthesis, placer, device, seeds)
    fits(synthesis, chosen)
    package, harness = _package(chosen, synthesis.pins, package)
    netlist = harnessed(synthesis, cache) if harness else synthesis.json
    flags = placer.flags.format(device=device, package=package, speed=speed, frequency=frequency)
    content, arguments = netlist.read_bytes(), (_NEXTPNR, placer.arguments, placer.packing)
    version = tools.package_version(placer.wheel)
    entries: dict[int, Path] = {}
    for seed in seeds:
        key = content_key(content, flags, seed, version, arguments)
        maker = _maker(netlist, f"{flags} --seed {seed}", chosen, placer)
        entries[seed] = cached("placements", key, maker, cache)
    found = _collect(entries, placer)
    return replace(found, device=chosen.name, package=package, speed=speed, harness=harness, flags=flags)


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
    family = [DEVICES[own.name] for own in _placer(synthesis).devices]
    larger = [d.name for d in family if d.comb > device.comb and not _missing(synthesis, d)]
    remedy = f"use {' or '.join(larger)}, or fold the design more" if larger else "fold the design more"
    return DesignError(f"{problem}: {remedy}")


def _placer(synthesis: Synthesis) -> Placer:
    """Who places the netlist; ToolError when nobody does."""
    if synthesis.target not in _PLACERS:
        raise ToolError(
            f"a netlist for {synthesis.target} cannot be placed: synthesise {synthesis.top} for {' or '.join(_PLACERS)}"
        )
    return _PLACERS[synthesis.target]


def _device(synthesis: Synthesis, placer: Placer, name: str, seeds: Sequence[int]) -> Device:
    if not seeds:
        raise DesignError("no seeds were given: name at least one")
    chosen, own = device(name), [device.name for device in placer.devices]
    if name not in own:
        raise DesignError(f"{name} takes no netlist for {synthesis.target}: use one of {', '.join(own)}")
    return chosen


def device(name: str) -> Device:
    """The device of that name; DesignError names the known ones."""
    if name not in DEVICES:
        raise DesignError(f"unknown device {name!r}: use one of {', '.join(DEVICES)}")
    return DEVICES[name]


def family(name: str) -> Technology:
    """The technology of the device of that name; DesignError names the known ones."""
    wanted = device(name).name
    return next(t for t in TECHNOLOGIES if t.placer and wanted in (device.name for device in t.placer.devices))


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


def _maker(netlist: Path, flags: str, device: Device, placer: Placer) -> Callable[[Path], None]:
    def make(work: Path) -> None:
        shutil.copyfile(netlist, work / "netlist.json")
        start = time.monotonic()
        clock, used = _placed(flags, device, placer, work)
        _pack(placer, work)
        record = {"fmax_mhz": clock, "utilisation": used, "seconds": round(time.monotonic() - start, 3)}
        (work / _RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
        for name in ("netlist.json", placer.configuration):
            (work / name).unlink()

    return make


def _placed(flags: str, device: Device, placer: Placer, work: Path) -> tuple[float, dict[str, tuple[int, int]]]:
    """Clock in MHz and what is used of what there is; leaves a whole configuration."""
    arguments = [*flags.split(), *placer.arguments.split(), *_NEXTPNR.split()]
    try:
        tools.yowasp(_module(placer), placer.place, arguments, work, ["report.json", placer.configuration])
    except ToolError as error:
        if any(words in str(error) for words in placer.crowded):
            raise DesignError(f"{device.name} is too full: use a larger device or fold more\n{error}") from error
        raise
    clock, used = _reported(work)
    configuration = work / placer.configuration
    tools.require("nextpnr", configuration, placer.whole_configuration(configuration.read_bytes(), used))
    return clock, used


def _pack(placer: Placer, work: Path) -> None:
    tools.yowasp(_module(placer), placer.pack, placer.packing.split(), work, [placer.bitstream])
    bitstream = work / placer.bitstream
    tools.require(placer.pack.removeprefix("run_"), bitstream, placer.whole_bitstream(bitstream.read_bytes()))


def _module(placer: Placer) -> str:
    return placer.wheel.replace("-", "_")


def _json(path: Path) -> Any:
    """Content of a JSON file; None when it is none, or cut off."""
    try:
        return parse_json(path.read_text(encoding="utf-8"), path.name)
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


def _collect(entries: dict[int, Path], placer: Placer) -> Placement:
    """What the seeds found, without what was asked of them."""
    records: dict[int, dict[str, Any]] = {
        s: json.loads((e / _RECORD).read_text(encoding="utf-8")) for s, e in entries.items()
    }
    by_seed = {seed: float(record["fmax_mhz"]) for seed, record in records.items()}
    middle = statistics.median_low(by_seed.values())
    used = next(r["utilisation"] for s, r in records.items() if by_seed[s] == middle)
    return Placement(
        device="", package="", speed=0, fmax_mhz=statistics.median(by_seed.values()), by_seed=by_seed,
        comb=used.get(placer.comb, (0, 0))[0], ff=used.get(placer.ff, (0, 0))[0],
        utilisation={name: (int(u[0]), int(u[1])) for name, u in used.items()}, harness=False,
        bitstream=entries[max(by_seed, key=by_seed.__getitem__)] / placer.bitstream,
        tool=f"{placer.wheel} {tools.package_version(placer.wheel)}", flags="",
        seconds=sum(record["seconds"] for record in records.values()),
    )  # fmt: skip
