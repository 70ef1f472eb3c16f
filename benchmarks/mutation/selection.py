"""Which tests meet a fault in a file: a static map from the layout and the imports, nothing by hand.

Of a Python file: every test file that imports it, itself or by a name that a package hands on, or, where none does,
over the fewest other files; the folder of its floor under tests/; and those of tests/test_every_* that import it over
any number of files. Of a SystemVerilog file: the test files that name it or its folder, and of
tests/test_every_* those of the modules that instantiate it.
"""

import ast
import math
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PACKAGE = "intaglio"


@dataclass(frozen=True)
class Selection:
    """Test files: those nearest to the file, and the others. `modules`: of SystemVerilog, the parameters."""

    close: tuple[str, ...]
    others: tuple[str, ...]
    modules: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.close, *self.others)


class Map:
    """The tests below `root`, and what each imports."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.source = root / "src" / PACKAGE

    @cached_property
    def tests(self) -> dict[str, frozenset[str]]:
        """Every test file with the modules of the package that it needs, also through files of tests/ beside it."""
        files = sorted((self.root / "tests").rglob("*.py"))
        texts = {path: ast.parse(path.read_text(encoding="utf-8")) for path in files}
        own = {path: self._imported(tree) for path, tree in texts.items()}
        helpers = {path.stem: path for path in files if not path.name.startswith("test_")}

        def every(path: Path, seen: frozenset[Path]) -> frozenset[str]:
            """What a file imports, and what its helpers import."""
            beside = {helpers[name] for name in _helpers(texts[path]) if name in helpers} - seen
            return own[path].union(*(every(helper, seen | {path, helper}) for helper in beside))

        found = [path for path in files if path.name.startswith("test_")]
        return {str(path.relative_to(self.root)): every(path, frozenset({path})) for path in found}

    @cached_property
    def _needs(self) -> dict[str, frozenset[str]]:
        """For every file of the package the files that it imports."""
        trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in self.source.rglob("*.py")}
        return {str(path.relative_to(self.root)): self._imported(tree) for path, tree in trees.items()}

    def _distance(self, test: str, path: str) -> float:
        """Over how many files a test imports a file of the package, infinity where it does not; 1 is itself."""
        front, seen, steps = set(self.tests[test]), set(self.tests[test]), 1
        while front and path not in front:
            front = {needed for current in front for needed in self._needs[current]} - seen
            seen, steps = seen | front, steps + 1
        return steps if front else math.inf

    @cached_property
    def _handed_on(self) -> dict[str, dict[str, str]]:
        """For every package its public names and the modules that define them."""
        found: dict[str, dict[str, str]] = {}
        for path in self.source.rglob("__init__.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
            names = {(alias.asname or alias.name): str(n.module) for n in imports for alias in n.names}
            found[self._module(path.parent)] = names
        return found

    def _module(self, path: Path) -> str:
        return ".".join(path.relative_to(self.source.parent).with_suffix("").parts)

    def _file(self, module: str) -> str | None:
        """The path below the root of a module, or of a package's `__init__`."""
        base = self.source.parent.joinpath(*module.split("."))
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path.is_file():
                return str(path.relative_to(self.root))
        return None

    def _imported(self, tree: ast.AST) -> frozenset[str]:
        """The files that a syntax tree imports."""
        found: set[str | None] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {self._file(alias.name) for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == PACKAGE:
                found |= {self._file(self._defining(str(node.module), alias.name)) for alias in node.names}
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and PACKAGE in node.value:
                found |= self._named(node.value)
        return frozenset(path for path in found if path is not None)

    def _named(self, text: str) -> set[str | None]:
        """The files that a script within a text imports."""
        modules = re.findall(rf"(?:from|import) ({PACKAGE}[\w.]*)", text)
        return {self._file(module) for module in modules}

    def _defining(self, module: str, name: str) -> str:
        """The module in which what `from module import name` gives is defined."""
        if self._file(f"{module}.{name}"):
            return f"{module}.{name}"
        target = self._handed_on.get(module, {}).get(name)
        return module if target is None or target == module else self._defining(target, name)

    def of(self, path: str) -> Selection:
        """The tests that meet a fault in the file `path`."""
        if path.endswith(".sv"):
            return self._of_module(Path(path))
        far = {test: self._distance(test, path) for test in self.tests}
        near = min(far.values())
        close = {test for test, distance in far.items() if distance == max(near, 1) < math.inf}
        floor = Path(path).relative_to(self.source.relative_to(self.root)).parts[0]
        others = {
            test for test, distance in far.items()
            if test.startswith(f"tests/{floor}/") or (distance < math.inf and _conforms(test))
        }  # fmt: skip
        return Selection(tuple(sorted(close)), tuple(sorted(others - close)))

    def _of_module(self, path: Path) -> Selection:
        """The tests of a SystemVerilog file."""
        names = {path.stem} if path.parent.name == "rtl" else {path.stem, path.parent.name}
        texts = {test: (self.root / test).read_text(encoding="utf-8") for test in self.tests}
        naming = [test for test, text in texts.items() if any(re.search(rf"\b{n}\b", text) for n in names)]
        parametrised = [test for test in self.tests if _conforms(test) and "RTL" in texts[test]]
        return Selection(tuple(sorted({*naming, *parametrised})), (), tuple(self._users(path.stem)))

    def _users(self, module: str) -> list[str]:
        """A module and those that instantiate it, directly or not, nearest first."""
        files = [path for path in (self.source / "rtl").rglob("*.sv") if path.parent.name != "tb"]
        texts = {path.stem: path.read_text(encoding="utf-8") for path in files}
        found = [module]
        for current in found:
            found += [n for n, t in texts.items() if n not in found and re.search(rf"^ *{current} ", t, re.MULTILINE)]
        return found


def _conforms(test: str) -> bool:
    """Whether a test file holds conformance tests."""
    return Path(test).name.startswith("test_every_")


def _helpers(tree: ast.AST) -> set[str]:
    """The last names of what a test imports, among which are the helpers beside it."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found |= {str(node.module).rpartition(".")[2], *(alias.name for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name.rpartition(".")[2] for alias in node.names}
    return found
