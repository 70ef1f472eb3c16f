"""Faults of Python files, from the syntax tree: operators, comparisons, constants, statements, arguments, conditions.

What is not touched: docstrings, annotations, decorators, messages of errors, f-strings, `strict=` of zip, and code for
type checkers alone.
"""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise

from benchmarks.mutation.fault import Fault

OPERATORS: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "+"), ast.Div: ("/", "*"), ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "//"), ast.LShift: ("<<", ">>"), ast.RShift: (">>", "<<"), ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"), ast.BitXor: ("^", "|"), ast.Pow: ("**", "*"),
}  # fmt: skip
COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"), ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="), ast.Is: ("is", "is not"), ast.IsNot: ("is not", "is"), ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}  # fmt: skip
RETURNS = {"bool": "True", "int": "0", "float": "0.0", "str": '""', "bytes": 'b""'}
SAME = ("isinstance", "issubclass", "zip")
"""Calls whose arguments are not swapped: a check of types falls over at once, pairs come out in the other order."""


def faults(path: str, source: bytes) -> list[Fault]:
    """Every place for a fault, in the order of the file."""
    finder = _Finder(path, source)
    finder.visit(ast.parse(source))
    return finder.found


class _Finder(ast.NodeVisitor):
    """Walks the tree; a visit of a node notes its faults and goes on below."""

    def __init__(self, path: str, source: bytes) -> None:
        self.path, self.source = path, source
        self.starts = [0, *(match.end() for match in re.finditer(rb"\n", source))]
        self.places: list[str] = []
        self.returns: list[str] = []
        self.found: list[Fault] = []

    def note(self, kind: str, start: int, end: int, after: str) -> None:
        """A fault at these bytes."""
        before = self.source[start:end].decode()
        line = self.source.count(b"\n", 0, start) + 1
        place = ".".join(self.places) or "module"
        if before != after:
            self.found.append(Fault(self.path, place, kind, line, start, end, before, after))

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """The bytes of a node."""
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self.starts[node.lineno - 1] + node.col_offset, self.starts[node.end_lineno - 1] + node.end_col_offset

    def text(self, node: ast.expr | ast.stmt) -> str:
        """The source of a node."""
        start, end = self.span(node)
        return self.source[start:end].decode()

    def between(self, kind: str, left: ast.expr, right: ast.expr, symbols: tuple[str, str]) -> None:
        """Another operator between two operands, which may stand in parentheses."""
        start, end = self.span(left)[1], self.span(right)[0]
        gap = self.source[start:end].decode()
        pattern = r"\s+".join(map(re.escape, symbols[0].split()))
        match = re.search(rf"(?<![\w<>=*/]){pattern}(?![\w<>=*/])", re.sub("#[^\n]*", lambda m: " " * len(m[0]), gap))
        if match:
            at = start + len(gap[: match.start()].encode())
            self.note(kind, at, at + len(match[0]), symbols[1])

    def within(self, name: str, node: ast.AST) -> None:
        """Visit what is inside a function or class."""
        self.places.append(name)
        self.generic_visit(node)
        self.places.pop()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """No decorators."""
        node.decorator_list = []
        self.within(node.name, node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """No decorators, no annotations."""
        node.decorator_list = []
        self.returns.append(RETURNS.get(ast.unparse(node.returns) if node.returns else "", "None"))
        node.returns = None
        self.within(node.name, node)
        self.returns.pop()

    def visit_arg(self, node: ast.arg) -> None:
        """No annotation."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """The value alone."""
        if node.value is not None:
            self.visit(node.value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Texts are for people."""

    def visit_Assert(self, node: ast.Assert) -> None:
        """These tell a type checker what is known."""

    def visit_Raise(self, node: ast.Raise) -> None:
        """An error that is not raised; its message is for people."""
        self.note("dropped raise", *self.span(node), "pass")

    def visit_Expr(self, node: ast.Expr) -> None:
        """A call for its effect that is not made."""
        if isinstance(node.value, ast.Call):
            self.note("dropped call", *self.span(node), "pass")
        if not isinstance(node.value, ast.Constant):
            self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """An update that is not made."""
        self.note("dropped update", *self.span(node), "pass")
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        """A constant instead of the result."""
        if node.value is not None and not isinstance(node.value, ast.Constant) and self.returns:
            self.note("returned constant", *self.span(node.value), self.returns[-1])
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        """The other branch."""
        if ast.unparse(node.test) != "TYPE_CHECKING" and "__name__" not in ast.unparse(node.test):
            self.note("negated condition", *self.span(node.test), f"not ({self.text(node.test)})")
            self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        """The other value."""
        self.note("negated condition", *self.span(node.test), f"(not ({self.text(node.test)}))")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        """Without the operator."""
        if not (isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant)):
            self.note("dropped operator", *self.span(node), f"({self.text(node.operand)})")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Another operator."""
        if not (isinstance(node.op, ast.BitOr) and _types(node)):
            self.between("operator", node.left, node.right, OPERATORS.get(type(node.op), ("@", "*")))
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """and, or: the first of them."""
        symbols = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        self.between("operator", node.values[0], node.values[1], symbols)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        """Another comparison."""
        operands = [node.left, *node.comparators]
        for (left, right), operator in zip(pairwise(operands), node.ops, strict=True):
            self.between("comparison", left, right, COMPARISONS[type(operator)])
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """One more, one less; the other truth."""
        if isinstance(node.value, bool):
            self.note("constant", *self.span(node), str(not node.value))
        elif isinstance(node.value, int):
            for value in (node.value + 1, node.value - 1):
                self.note("constant", *self.span(node), str(value) if value >= 0 else f"({value})")

    def visit_Call(self, node: ast.Call) -> None:
        """The first two arguments in the other order."""
        plain = not any(isinstance(argument, ast.Starred) for argument in node.args[:2])
        if len(node.args) >= 2 and plain and ast.unparse(node.func) not in SAME:
            (start, one), (two, end) = self.span(node.args[0]), self.span(node.args[1])
            between = self.source[one:two].decode()
            if between.count("(") == between.count(")") == 0:
                self.note("swapped arguments", start, end, self.text(node.args[1]) + between + self.text(node.args[0]))
        node.keywords = [keyword for keyword in node.keywords if keyword.arg != "strict"]
        self.generic_visit(node)


def _types(node: ast.BinOp) -> bool:
    """Whether this is a union of types: names with a capital, or None."""
    names: Iterator[str] = (ast.unparse(part).rpartition(".")[2] for part in (node.left, node.right))
    return all(name[:1].isupper() or name in ("int", "float", "str", "bool", "bytes") for name in names)
