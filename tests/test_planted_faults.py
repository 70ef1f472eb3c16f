"""The planted faults are where they should be, the map finds the tests, and a try tells caught from survived."""

import ast
import textwrap
from pathlib import Path

import pytest

from benchmarks import planted_faults
from benchmarks.mutation import python, verilog
from benchmarks.mutation.fault import Fault
from benchmarks.mutation.selection import Map
from benchmarks.mutation.trial import Tree

ROOT = Path(__file__).resolve().parent.parent
SOURCE = '''
"""Half (of 2) a module."""


@once(1)
def half(x: int | None = 3, *, deep: bool = True) -> int:
    """Half of x."""
    if x is None or x < 2 * 4:
        raise ValueError(f"{x + 1} is too small")
    x -= 7
    check(x, (deep))
    for a, b in zip(x, x, strict=True):
        note(b)
    return -x // (a + 5)
'''


def changes(faults: list[Fault]) -> set[tuple[str, str, str]]:
    return {(fault.kind, fault.before, fault.after) for fault in faults}


def test_python_faults_by_hand():
    assert changes(python.faults("p.py", SOURCE.encode())) == {
        ("constant", "3", "4"), ("constant", "3", "2"), ("constant", "True", "False"),
        ("negated condition", "x is None or x < 2 * 4", "not (x is None or x < 2 * 4)"), ("operator", "or", "and"),
        ("comparison", "is", "is not"), ("comparison", "<", "<="), ("operator", "*", "+"),
        ("constant", "2", "3"), ("constant", "2", "1"), ("constant", "4", "5"), ("constant", "4", "3"),
        ("dropped raise", 'raise ValueError(f"{x + 1} is too small")', "pass"),
        ("dropped update", "x -= 7", "pass"), ("constant", "7", "8"), ("constant", "7", "6"),
        ("dropped call", "check(x, (deep))", "pass"), ("dropped call", "note(b)", "pass"),
        ("returned constant", "-x // (a + 5)", "0"), ("operator", "//", "*"), ("dropped operator", "-x", "(x)"),
        ("operator", "+", "-"), ("constant", "5", "6"), ("constant", "5", "4"),
    }  # fmt: skip


def test_arguments_are_swapped_whole():
    (fault,) = python.faults("p.py", b"def f(): g('\xc3\xa9', h(a), **b)\n")[1:]
    assert (fault.kind, fault.after, fault.line, fault.place) == ("swapped arguments", "h(a), 'é'", 1, "f")


def test_every_python_fault_parses_and_differs():
    path = "src/intaglio/ir/graph.py"
    source = (ROOT / path).read_bytes()
    found = python.faults(path, source)
    assert len(found) > 50
    for fault in found:
        changed = source[: fault.start] + fault.after.encode() + source[fault.end :]
        assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(source)), fault


MODULE = """
// a <= b + 1
`include "x"
module ig_x #(parameter int W = 3) (
  input logic [W-1:0] a_i, output logic y_o);
  localparam int Depth = 2;
  always_ff @(posedge clk_i) if (!rst_ni) y_q <= 1'b0;
  else begin
    y_q <= a_i == 4'd7 && (b - c) ;
  end
  assign y_o = a_i >= Depth ? '0 : ~y_q;
  initial if (W < 1) $error("W < 1");
endmodule
"""


def test_verilog_faults_by_hand():
    found = changes(verilog.faults("rtl/ig_x.sv", MODULE.encode()))
    assert found == {
        ("constant", "2", "3"), ("constant", "2", "1"), ("width", "1", "2"), ("width", "1", "0"),
        ("negated condition", "!rst_ni", "!(!rst_ni)"), ("condition that always holds", "!rst_ni", "1'b1"),
        ("dropped operator", "!", ""), ("dropped operator", "~", ""), ("constant", "1'b0", "1'b1"),
        ("constant", "'0", "'1"), ("operator", "==", "!="), ("operator", "&&", "||"), ("operator", "-", "+"),
        ("operator", ">=", ">"), ("dropped update", "y_q <= a_i == 4'd7 && (b - c) ;", ";"),
    }  # fmt: skip


@pytest.mark.parametrize(("path", "close", "other"), [
    ("src/intaglio/ir/ops/align.py", "tests/test_every_op.py", "tests/ir/test_passes.py"),
    ("src/intaglio/report/verdict.py", "tests/report/test_render.py", "tests/report/test_browser.py"),
    ("src/intaglio/twin/uneven.py", "tests/twin/test_uneven.py", "tests/test_every_method.py"),
    ("src/intaglio/ir/encodings/exponential.py", "tests/ir/test_encodings_structure.py",
     "tests/test_every_encoding.py"),
])  # fmt: skip
def test_the_tests_of_a_file(path: str, close: str, other: str):
    chosen = Map(ROOT).of(path)
    assert close in chosen.close and other in chosen.others and not set(chosen.close) & set(chosen.others)
    assert "tests/test_every_module.py" not in chosen.files


def test_the_tests_of_a_hardware_module():
    chosen = Map(ROOT).of(next(p for p in map(str, (ROOT / "src").rglob("ig_rom.sv"))).removeprefix(f"{ROOT}/"))
    assert "tests/test_every_module.py" in chosen.close and chosen.modules[0] == "ig_rom"
    assert "ig_supply_rom" in chosen.modules and "ig_fork" not in chosen.modules


def test_the_draw_is_that_of_its_seed_and_shared_by_lines():
    drawn = planted_faults.draw(60, 1)
    assert drawn == planted_faults.draw(60, 1) != planted_faults.draw(60, 2) and len(set(drawn)) == 60
    folders = [fault.path.split("/")[2] for fault in drawn]
    assert set(folders) == set(planted_faults.FOLDERS) and folders.count("ir") > folders.count("report")


def test_judged_survivors_count_by_what_is_said_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "survivors.json").write_text('{"a": "equivalent: b is 1", "b": "a picture is wider"}')
    monkeypatch.setattr(planted_faults, "JUDGED", tmp_path / "survivors.json")
    rows = [{"fault": name, "state": "survived", "why": ""} for name in "abc"] + [{"fault": "a", "state": "caught"}]
    assert [row["state"] for row in planted_faults.judged(rows)] == ["equivalent", "survived", "survived", "caught"]
    assert planted_faults.judged(rows)[2]["why"] == "not looked at yet"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A tree of one module, of which one function is tested."""
    files = {
        "src/intaglio/__init__.py": "",
        "src/intaglio/ir/__init__.py": "",
        "src/intaglio/ir/x.py": "def f(a):\n    return a + 1\n\n\ndef g(a):\n    return a - 1\n",
        "tests/ir/test_x.py": """
            import pytest
            from intaglio.ir.x import f

            def test_dear():
                assert sum(range(10**6)) and f(1) == 2

            def test_cheap():
                assert f(1) == 2

            def test_broken():
                assert f(1) == 3
            """,
    }
    for name, text in files.items():
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(textwrap.dedent(text))
    return tmp_path


def test_a_fault_is_caught_by_the_cheapest_test_or_survives(small: Path):
    root, path = small / "root", "src/intaglio/ir/x.py"
    before = (root / path).read_bytes()
    found = {(fault.place, fault.kind): fault for fault in python.faults(path, before)}
    with Tree(root, small / "work") as tree:
        tree.prepare(["tests/ir/test_x.py"])
        tree.costs = {name: 1.0 * name.endswith("dear") for name in tree.costs}
        caught, survived = (tree.attempt(found[place, "operator"]) for place in "fg")
        copy = tree.copy
    assert (caught.state, caught.by, caught.tests) == ("caught", "tests/ir/test_x.py::test_cheap", 0)
    assert "assert 0 == 2" in caught.why
    assert (survived.state, survived.by, survived.tests) == ("survived", "", 2)
    assert tree.broken == ["tests/ir/test_x.py::test_broken"] and set(tree.costs) == {
        "tests/ir/test_x.py::test_cheap", "tests/ir/test_x.py::test_dear"}  # fmt: skip
    assert (root / path).read_bytes() == before and not copy.exists()
    with Tree(root, small / "work") as again:
        assert again.ready == ["tests/ir/test_x.py"] and set(again.costs) == set(tree.costs) and not again.broken
        again.costs = dict(tree.costs)  # not as measured: which of two short tests is the cheaper is chance
        assert again.attempt(found["f", "operator"]).by == "tests/ir/test_x.py::test_cheap"
        assert again.attempt(found["g", "operator"]).state == "survived"
        assert again.broken == tree.broken


def test_a_file_that_cannot_be_imported_is_caught(small: Path):
    fault = Fault("src/intaglio/ir/x.py", "module", "operator", 1, 0, 3, "def", "raise")
    with Tree(small / "root", small / "work") as tree:
        assert tree.attempt(fault).state == "caught"
        with pytest.raises(ValueError, match="not the file"):
            Fault(fault.path, "module", "operator", 1, 0, 3, "den", "raise").plant(tree.tree)
