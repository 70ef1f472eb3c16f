"""Where in the user's program a traced operation stands, and what it is called there."""

import linecache
import operator
import re
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx
from torch.fx import GraphModule, Node

from intaglio.twin.flat import module_of

SOURCE, FORM = "intaglio_source", "intaglio_form"
"""Keys of `Node.meta`: the Line of a node, and how its operation was written where a module stands for it now."""

_HIDDEN = (str(Path(torch.__file__).parent), str(Path(__file__).parent), "<eval_with_key")
_SYMBOLS = {
    "add": "x + y", "sub": "x - y", "mul": "x * y", "truediv": "x / y", "floordiv": "x // y", "neg": "-x",
    "matmul": "x @ y", "pow": "x ** y", "getitem": "x[...]", "mod": "x % y",
}  # fmt: skip
_OPERATORS = {
    symbol: re.sub(r"true|floor", "", name) if name.endswith("div") else name for name, symbol in _SYMBOLS.items()
}
_SYNONYMS = {
    "multiply": "mul", "subtract": "sub", "rsub": "sub", "divide": "div", "true_divide": "div", "floor_divide": "div",
    "concat": "cat", "concatenate": "cat", "negative": "neg", "pow": "pow", "special_softmax": "softmax",
}  # fmt: skip


@dataclass(frozen=True)
class SourceLine:
    """One line of a user's program."""

    file: str
    number: int

    @property
    def text(self) -> str:
        """What stands there; empty where the file cannot be read."""
        return linecache.getline(self.file, self.number).strip()

    def __str__(self) -> str:
        file = Path(self.file)
        shown = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
        return f"{shown}:{self.number}"


class SourceTracer(fx.Tracer):
    """A tracer that notes with every node the line of the user's program from which it comes."""

    def create_node(self, *args: Any, **kwargs: Any) -> Node:
        """As torch's, with the line in `meta`."""
        node = super().create_node(*args, **kwargs)
        node.meta[SOURCE] = _user_line(sys._getframe(1))
        return node


def _user_line(frame: FrameType | None) -> SourceLine | None:
    """The innermost line that belongs neither to torch nor to us, inside the recorded forward pass."""
    while frame is not None and frame.f_code is not fx.Tracer.trace.__code__:
        if not frame.f_code.co_filename.startswith(_HIDDEN):
            return SourceLine(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return None


def line_of(error: BaseException) -> SourceLine | None:
    """The innermost line of the user's forward pass that an error came through."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [SourceLine(f.filename, f.lineno or 0) for f in frames if not f.filename.startswith(_HIDDEN)]
    return lines[-1] if lines else None


def place(gm: GraphModule, node: Node) -> str:
    """How a message names an operation: a layer and its class, or a functional form, and the line of the program."""
    module = module_of(gm, node)
    if module is None or FORM in node.meta:
        return written(node)
    line = node.meta.get(SOURCE)
    kind = type(module).__name__.removeprefix("Parametrized")
    return f"{node.target} ({kind})" + (f", {line}" if line else "")


def written(node: Node) -> str:
    """A functional form, and the line of the program with its text."""
    line = node.meta.get(SOURCE)
    return f"{node.meta.get(FORM) or form(node)}" + (f", {line} `{line.text[:80]}`" if line else "")


def form(node: Node) -> str:
    """How a user writes the operation of a function, method or attribute node."""
    name = str(getattr(node.target, "__name__", node.target))
    if node.op == "call_method":
        return f"x.{name}"
    if node.op == "call_function":
        home = getattr(node.target, "__module__", None) or "torch"
        if home in ("_operator", "operator"):
            return _SYMBOLS.get(_plain(name), name)
        functional = getattr(F, name, None) is node.target and getattr(torch, name, None) is not node.target
        return f"{'F' if functional or home == 'torch.nn.functional' else 'torch'}.{name}"
    return f"self.{node.target}" if node.op == "get_attr" else name


def key(name: str) -> str:
    """One name for an operation however it is written: `x * y`, `torch.mul`, `x.mul_` and `multiply` are `mul`."""
    if name in _OPERATORS:
        return _OPERATORS[name]
    last = name.rpartition(".")[2].partition("(")[0]
    last = last if last.endswith("__") else last.rstrip("_")
    return _SYNONYMS.get(last, last)


def _plain(name: str) -> str:
    """An operator without its in-place prefix."""
    return name[1:] if name.startswith("i") and name[1:] in _SYMBOLS and hasattr(operator, name) else name
