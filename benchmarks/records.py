"""What a benchmark leaves behind: one JSON file, and a table on the screen."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine, versions
from intaglio.files import write_atomically

RESULTS = Path(__file__).resolve().parent / "results"
WIDTH = 140
KEYS = ("name", "claim", "machine", "versions", "settings", "figures", "targets", "notes")


@dataclass(frozen=True)
class Target:
    """A claim with its number: `value` must be at least (or, `at_most`, at most) `target`."""

    claim: str
    value: float | None
    target: float
    at_most: bool = False

    @property
    def met(self) -> bool | None:
        """Whether it holds; None when there is no value."""
        if self.value is None:
            return None
        return self.value <= self.target if self.at_most else self.value >= self.target


def spread(values: Sequence[float]) -> dict[str, float]:
    """Smallest, median and largest."""
    return {"min": min(values), "median": median(values), "max": max(values)}


def save(
    name: str,
    claim: str,
    settings: Mapping[str, Any],
    figures: Sequence[Mapping[str, Any]],
    targets: Sequence[Target],
    peers: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> Path:
    """Write results/<name>.json: whole or not at all. `peers`: versions by peer."""
    record = {
        "name": name,
        "claim": claim,
        "machine": machine(),
        "versions": {"here": versions(), **(peers or {})},
        "settings": settings,
        "figures": [_short(figure) for figure in figures],
        "targets": [{**asdict(target), "met": target.met} for target in targets],
        "notes": list(notes),
    }
    path = RESULTS / f"{name}.json"
    write_atomically(path, json.dumps(record, indent=1, default=_plain) + "\n")
    return path


def _plain(value: Any) -> Any:
    """What JSON does not know: numbers of NumPy."""
    return value.item() if hasattr(value, "item") else str(value)


def _short(value: Any) -> Any:
    """Floats to six significant digits, everywhere inside."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {key: _short(item) for key, item in value.items()}
    return [_short(item) for item in value] if isinstance(value, list | tuple) else value


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table; the first column is text, the others are numbers."""
    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left", overflow="fold", no_wrap=i > 0)
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    Console(width=max(WIDTH, Console().width)).print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def show_targets(targets: Sequence[Target]) -> None:
    """Print what was claimed and what came out."""
    words = {True: "yes", False: "NO", None: "not measured"}
    rows = [(t.claim, t.value, f"{'at most' if t.at_most else 'at least'} {t.target:g}", words[t.met]) for t in targets]
    show("Targets", ("claim", "measured", "wanted", "met"), rows)
