"""The synthesised netlist as a design of its own, simulated with our models of the device's cells.

Yosys ships empty shells of DP16KD and MULT18X18D: with those a netlist runs in the right number of cycles
to wrong values.
"""

import random
import re
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path

from intaglio.hardware.rtl import Rtl
from intaglio.hardware.synthesize import Synthesis
from intaglio.hardware.technology import ECP5, TECHNOLOGIES, Models, Technology, named
from intaglio.ir.errors import ToolError

_INSTANCE = re.compile(
    r"^  (?P<cell>\w+) (?:#\(\n(?:    \..*\n)*  \) )?"
    r"(?P<name>\\\S+ |\w+) ?\(\n(?P<ports>(?:    \..*\n)*)  \);",
    re.M,
)
_PORT = re.compile(r"\.(\w+)\((.*?)\)(?:,|$)", re.M)
_TABLE = re.compile(r"\.(INIT[01]?)\(16'h([0-9a-fA-F]+)\)")
_CONTENT = re.compile(r"\.(INITVAL_[0-9A-F]{2})\(320'h([0-9a-fA-F]*[1-9a-fA-F][0-9a-fA-F]*)\)")


def cell_models(technology: Technology = ECP5) -> tuple[Path, ...]:
    """Our models of the cells that Yosys emits for a technology; ToolError when there are none."""
    models = _models(technology)
    with as_file(files("intaglio") / "rtl" / "cells") as directory:
        return tuple(sorted(directory.glob(models.files))) if models.files else ()


def _models(technology: Technology) -> Models:
    if technology.models is None:
        able = " or ".join(t.name for t in TECHNOLOGIES if t.models)
        raise ToolError(f"no cell models for {technology.title} ({technology.name}): synthesise for {able}")
    return technology.models


def netlist(rtl: Rtl, synthesis: Synthesis) -> Rtl:
    """The netlist of `rtl` as a design with the same streams; memory contents are inside it.

    Raises ToolError when the synthesis is for a family whose cells have no models here.
    """
    return replace(
        rtl,
        directory=synthesis.directory,
        top=synthesis.top,
        sources=(*cell_models(named(synthesis.target)), synthesis.verilog),
        memories=(),
    )


@dataclass(frozen=True)
class Fault:
    """A planted defect: which instance of which cell, and what was changed."""

    cell: str
    instance: str
    change: str


@dataclass(frozen=True)
class _Instance:
    cell: str
    name: str
    start: int
    text: str
    ports: dict[str, str]


def plant_fault(
    text: str, seed: int, cells: tuple[str, ...] = (), technology: Technology = ECP5
) -> tuple[str, Fault]:
    """Change one thing in a netlist: a reachable bit of a look-up table or carry cell, a set bit of a
    memory's content, or two product bits of a multiplier. Some changes of logic cannot be seen from outside,
    so a test plants several.

    cells: those that may be changed, all of the technology's that have such a thing unless named.
    Returns the changed text and what was done. Raises ToolError when the netlist has no cell of these kinds
    to change.
    """
    generator, models = random.Random(seed), _models(technology)
    cells = cells or (*models.tables, *models.contents, *models.products)
    instances = [i for i in _instances(text) if i.cell in cells]
    kinds = sorted({i.cell for i in instances})
    generator.shuffle(kinds)
    for kind in kinds:
        candidates = [i for i in instances if i.cell == kind]
        generator.shuffle(candidates)
        for instance in candidates:
            changed = _mutate(instance, models, generator)
            if changed:
                end = instance.start + len(instance.text)
                fault = Fault(instance.cell, instance.name, changed[1])
                return text[: instance.start] + changed[0] + text[end:], fault
    raise ToolError(f"the netlist has nothing to change among {', '.join(cells) or 'no cells'}: name other cells")


def _instances(text: str) -> list[_Instance]:
    return [
        _Instance(m["cell"], m["name"].strip(), m.start(), m[0], dict(_PORT.findall(m["ports"])))
        for m in _INSTANCE.finditer(text)
    ]


def _mutate(instance: _Instance, models: Models, generator: random.Random) -> tuple[str, str] | None:
    if instance.cell in models.products:
        return _swap_product(instance, generator)
    pattern = _CONTENT if instance.cell in models.contents else _TABLE
    tables = list(pattern.finditer(instance.text))
    if not tables:
        return None
    table = generator.choice(tables)
    if pattern is _CONTENT:
        bit = _content_bit(int(table[2], 16), generator)
    else:
        bit = generator.choice(_reachable(instance, table[1]))
    value = int(table[2], 16) ^ (1 << bit)
    changed = f"{instance.text[: table.start(2)]}{value:x}{instance.text[table.end(2) :]}"
    return changed, f"{table[1]} bit {bit} flipped"


def _reachable(instance: _Instance, table: str) -> list[int]:
    """Indices of a table that its inputs, some of them constant or tied together, can address."""
    suffix = table.removeprefix("INIT")
    nets = [instance.ports.get(f"{letter}{suffix}", "") for letter in "ABCD"]
    return [index for index in range(16) if _possible(nets, index)]


def _possible(nets: list[str], index: int) -> bool:
    seen: dict[str, int] = {}
    for position, net in enumerate(nets):
        value = index >> position & 1
        constant = re.fullmatch(r"1'h([01])", net)
        expected = int(constant[1]) if constant else seen.setdefault(net, value) if net else value
        if expected != value:
            return False
    return True


def _content_bit(value: int, generator: random.Random) -> int:
    """A bit that is set, so that the word belongs to the memory's content."""
    return generator.choice([bit for bit in range(320) if value >> bit & 1])


def _swap_product(instance: _Instance, generator: random.Random) -> tuple[str, str] | None:
    """Exchange the nets of two low product bits: high ones may be sign extension that nothing reads."""
    bits = [b for b in range(7) if _drives(instance, b) and _drives(instance, b + 1)]
    if not bits:
        return None
    low = generator.choice(bits)
    nets = instance.ports[f"P{low}"], instance.ports[f"P{low + 1}"]
    text = instance.text.replace(f".P{low}({nets[0]})", f".P{low}({nets[1]})")
    text = text.replace(f".P{low + 1}({nets[1]})", f".P{low + 1}({nets[0]})")
    return text, f"P{low} and P{low + 1} exchanged"


def _drives(instance: _Instance, bit: int) -> bool:
    return bool(instance.ports.get(f"P{bit}"))
