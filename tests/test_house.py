"""The house rules that no other tool checks: sizes, annotations, a bench per module, a page per method."""

import ast
import re
from pathlib import Path
from statistics import median

from intaglio.methods import METHODS

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "intaglio"
SOURCES = sorted(PACKAGE.rglob("*.py"))
OTHERS = [p for d in ("tests", "benchmarks", "examples") for p in sorted((ROOT / d).rglob("*.py"))]
EVERYTHING = SOURCES + OTHERS
MODULES = sorted((PACKAGE / "rtl").rglob("*.sv"))

MAX_FILE, MEDIAN_FILE = 500, 160
MAX_FUNCTION, MEDIAN_FUNCTION = 60, 10
MAX_MODULE, MAX_GENERATOR = 400, 300

Function = ast.FunctionDef | ast.AsyncFunctionDef


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def functions(path: Path) -> list[Function]:
    return [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, Function)]


def public(tree: ast.Module | ast.ClassDef) -> list[Function]:
    """Functions and methods that can be reached without naming anything private."""
    found = [n for n in tree.body if isinstance(n, Function | ast.ClassDef) and not n.name.startswith("_")]
    return [f for n in found for f in (public(n) if isinstance(n, ast.ClassDef) else [n])]


def length(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def missing_annotations(function: Function) -> list[str]:
    """What of a function is not annotated: parameters other than self and cls, and the result."""
    a = function.args
    parameters = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
    bare = [p.arg for p in parameters if p.annotation is None and p.arg not in ("self", "cls")]
    return bare + (["its result"] if function.returns is None else [])


TEXT_CALLS = {"run", "Popen", "check_output"}


def locale_text(tree: ast.AST) -> list[int]:
    """Lines where text is read or written in whatever encoding the locale names."""
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call)]
    return [c.lineno for c in calls if not any(k.arg == "encoding" for k in c.keywords) and opens_text(c)]


def opens_text(call: ast.Call) -> bool:
    """Whether a call opens a text file or a pipe of text."""
    method = isinstance(call.func, ast.Attribute)
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    words = {k.arg: k.value for k in call.keywords}
    if ast.unparse(call.func) == "os.open":  # gives a descriptor, which knows no text
        return False
    if name == "open":
        modes = [a.value for a in (*call.args, words.get("mode")) if isinstance(a, ast.Constant)]
        return not any("b" in str(mode) for mode in modes if set(str(mode)) <= set("rwxab+t"))
    if name in TEXT_CALLS:
        return not {"text", "universal_newlines"}.isdisjoint(words)
    return method and name in ("read_text", "write_text")


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_no_file_is_long():
    assert {short(p): lines(p) for p in EVERYTHING if lines(p) > MAX_FILE} == {}
    assert median(lines(p) for p in SOURCES if lines(p) > 3) <= MEDIAN_FILE


def test_no_function_is_long():
    found = {f"{short(p)}:{f.name}": length(f) for p in EVERYTHING for f in functions(p)}
    assert {name: size for name, size in found.items() if size > MAX_FUNCTION} == {}
    assert median(length(f) for p in SOURCES for f in functions(p)) <= MEDIAN_FUNCTION


def test_modules_and_generator_are_short():
    assert {short(p): lines(p) for p in MODULES if lines(p) > MAX_MODULE} == {}
    generator = PACKAGE / "hardware" / "emit.py"
    assert not generator.exists() or lines(generator) <= MAX_GENERATOR


def test_everything_public_is_annotated():
    bare = {
        f"{short(p)}:{f.lineno} {f.name}": missing_annotations(f)
        for p in SOURCES
        for f in public(ast.parse(p.read_text()))
        if missing_annotations(f)
    }
    assert bare == {}


def test_public_modules_functions_and_classes_say_what_they_are():
    silent = []
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        named = [n for n in tree.body if isinstance(n, Function | ast.ClassDef) and n.name[0] != "_"]
        silent += [short(path)] if path.read_text().strip() and not ast.get_docstring(tree) else []
        silent += [f"{short(path)}:{n.name}" for n in named if not ast.get_docstring(n)]
    assert silent == []


def test_text_is_utf_8_whatever_the_locale():
    found = {short(p): locale_text(ast.parse(p.read_text(encoding="utf-8"))) for p in SOURCES}
    assert {path: places for path, places in found.items() if places} == {}


def test_every_module_has_its_bench_and_its_own_file():
    library = [p for p in MODULES if p.parent in (PACKAGE / "rtl", PACKAGE / "rtl" / "shell")]
    benches = {p.stem for p in (PACKAGE / "rtl" / "tb").glob("*_tb.sv")}
    assert {p.stem for p in library if f"{p.stem}_tb" not in benches} == set()
    declared = {short(p): re.findall(r"^module\s+(\w+)", p.read_text(), re.M) for p in library}
    assert declared == {short(p): [p.stem] for p in library}


def test_every_method_has_its_page():
    stems = {m.__module__.rpartition(".")[2] for m in METHODS}
    assert {s for s in stems if not (ROOT / "docs" / "methods" / f"{s}.md").is_file()} == set()


def test_links_between_the_pages_lead_somewhere():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *PACKAGE.rglob("*.md")]
    broken = [
        f"{short(page)} -> {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []


def test_the_checks_themselves_see_faults():
    bad = ast.parse("def f(a, *b, c=1):\n    pass\n").body[0]
    good = ast.parse("def g(self, a: int, *b: int) -> None: ...").body[0]
    assert isinstance(bad, ast.FunctionDef) and isinstance(good, ast.FunctionDef)
    assert missing_annotations(bad) == ["a", "c", "b", "its result"] and length(bad) == 2
    assert missing_annotations(good) == []
    bare = "p.read_text()\np.open('a')\nopen(p)\nrun(c, text=True)\np.write_text(t)\n"
    named = "p.read_text(encoding='utf-8')\np.open('rb')\nopen(p, mode='wb')\nrun(c)\nre.match(t, s)\n"
    assert locale_text(ast.parse(bare)) == [1, 2, 3, 4, 5] and locale_text(ast.parse(named)) == []
