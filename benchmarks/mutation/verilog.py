"""Faults of SystemVerilog files, found in the text: operators, constants, widths, conditions, assignments.

What is not touched: comments, texts, directives, parameters' defaults (each instance sets its own) and checks of them.
"""

import re

from benchmarks.mutation.fault import Fault

SWAPS = {
    "==": "!=", "!=": "==", "<": "<=", ">": ">=", ">=": ">", "&&": "||", "||": "&&", "&": "|", "|": "&", "^": "|",
    "+": "-", "-": "+", "*": "+", "<<": ">>", ">>": "<<", ">>>": ">>",
}  # fmt: skip
OPERATOR = re.compile(r"(?<=[\w)\]}] )(&&|\|\||==|!=|>>>|<<|>>|>=|[-+*&|^<>])(?= [\w(~!{$'])")
INVERSION = re.compile(r"[!~](?=[\w(])")
NUMBER = re.compile(r"(?<![\w'$.])\d+(?![\w'.]|:0\]|(?<=:0)\])")
BIT = re.compile(r"1'b[01]|'0(?!\w)|'1(?!\w)")
WIDTH = re.compile(r"(?<=-)1(?=:0\])|(?<=- )1(?=:0\])")
CONDITION = re.compile(r"\bif \(")
UPDATE = re.compile(r"^[ \t]*(?:\w+[ \t]*:[ \t]*)?(\w[\w.]*(?:\[[^;\n=]*\])? <= [^;]*;)", re.MULTILINE)
HIDDEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|^[ \t]*`[^\n]*|`\w+', re.MULTILINE | re.DOTALL)
SKIPPED = re.compile(r"\bparameter\b[^\n]*|[^\n]*\$(?:error|fatal|display|warning|readmem)[^\n]*", re.MULTILINE)
KINDS = {OPERATOR: "operator", INVERSION: "dropped operator", NUMBER: "constant", BIT: "constant", WIDTH: "width"}


def faults(path: str, source: bytes) -> list[Fault]:
    """Every place for a fault, in the order of the kinds; the text is ASCII."""
    text = source.decode("ascii")
    for pattern in (HIDDEN, SKIPPED):
        text = pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    place = path.rpartition("/")[2].removesuffix(".sv")
    found: list[Fault] = []

    def note(kind: str, start: int, end: int, *afters: str) -> None:
        line = text.count("\n", 0, start) + 1
        before = source[start:end].decode()
        found.extend(Fault(path, place, kind, line, start, end, before, after) for after in afters)

    for pattern, kind in KINDS.items():
        for match in pattern.finditer(text):
            note(kind, *match.span(), *_others(kind, match[0]))
    for match in CONDITION.finditer(text):
        end = _closing(text, match.end())
        condition = source[match.end() : end].decode()
        note("negated condition", match.end(), end, f"!({condition})")
        note("condition that always holds", match.end(), end, "1'b1")
    for match in UPDATE.finditer(text):
        note("dropped update", *match.span(1), ";")
    return found


def _others(kind: str, before: str) -> tuple[str, ...]:
    """What may stand instead."""
    if kind == "width":
        return ("2", "0")
    if kind == "operator":
        return (SWAPS[before],)
    if kind == "dropped operator":
        return ("",)
    if not before.isdecimal():
        return (before[:-1] + ("1" if before[-1] == "0" else "0"),)
    value = int(before)
    return (str(value + 1), str(value - 1)) if value else ("1",)


def _closing(text: str, start: int) -> int:
    """Where the parenthesis that is open at `start` closes."""
    depth, at = 1, start
    while depth:
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        at += 1
    return at - 1
