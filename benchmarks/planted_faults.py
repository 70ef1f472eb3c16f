"""Planted faults: how many of 200, drawn with a seed over ir, twin, hardware, run, report and rtl, do the tests catch?

Each is one change of a line in a copy of the tree (benchmarks/mutation): operators, comparisons, constants, arguments,
conditions, statements, results; in SystemVerilog operators, constants, widths, conditions, assignments. It meets the
tests near the file, those of its floor and `tests/test_every_*`, cheapest first, and is caught by the first that fails
or hangs. What is found is written after each, and continued from there. `python -m benchmarks.planted_faults --help`.
"""

import argparse
import hashlib
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.mutation import python, verilog
from benchmarks.mutation.fault import Fault
from benchmarks.mutation.trial import Tree
from benchmarks.records import RESULTS, Target, save, show, show_targets

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("ir", "twin", "hardware", "run", "report", "rtl")
COUNT, SEED, WANTED = 200, 1, 90.0
CLAIM = "The tests catch at least 90 % of 200 faults planted at random"
JUDGED = Path(__file__).parent / "mutation" / "survivors.json"
"""By name of a fault: "equivalent: why" where it changes no result, else why no test should or does see it."""


def stratum(folder: str, only: Sequence[str] = ()) -> dict[str, list[Fault]]:
    """The faults of every file of a folder; `only` where the path holds one of these words."""
    base = ROOT / "src" / "intaglio" / folder
    paths = sorted(p for p in base.rglob("*.sv" if folder == "rtl" else "*.py") if p.parent.name != "tb")
    finder = verilog.faults if folder == "rtl" else python.faults
    names = [str(path.relative_to(ROOT)) for path in paths]
    found = {n: finder(n, (ROOT / n).read_bytes()) for n in names if not only or any(word in n for word in only)}
    return {name: faults for name, faults in found.items() if faults}


def draw(count: int, seed: int, folders: Iterable[str] = FOLDERS, only: Sequence[str] = ()) -> list[Fault]:
    """`count` faults: folders share them by their lines, files too, and the kinds of fault in a file evenly."""
    strata = {folder: found for folder in folders if (found := stratum(folder, only))}
    lines = {folder: {name: _lines(name) for name in found} for folder, found in strata.items()}
    sizes = {folder: sum(counted.values()) for folder, counted in lines.items()}
    ends = [round(count * sum(list(sizes.values())[: i + 1]) / sum(sizes.values())) for i in range(len(sizes))]
    drawn: list[Fault] = []
    for folder, end in zip(sizes, ends, strict=True):
        rng = random.Random(f"{seed} {folder}")
        chosen: dict[tuple[str, int, int], Fault] = {}
        while len(chosen) < end - len(drawn):
            (name,) = rng.choices(list(lines[folder]), list(lines[folder].values()))
            kinds = defaultdict(list)
            for fault in strata[folder][name]:
                kinds[fault.kind].append(fault)
            fault = rng.choice(kinds[rng.choice(sorted(kinds))])
            chosen.setdefault((name, fault.start, fault.end), fault)
        drawn += chosen.values()
    return drawn


def _lines(name: str) -> int:
    """Lines that are not empty."""
    return sum(bool(line.strip()) for line in (ROOT / name).read_text(encoding="utf-8").splitlines())


def rows_before(path: Path) -> dict[str, dict[str, Any]]:
    """What an earlier run found, by fault and content of its file."""
    if not path.is_file():
        return {}
    return {_key(row): row for row in json.loads(path.read_text())["figures"] if "fault" in row}


def _key(row: dict[str, Any]) -> str:
    return f"{row['fault']} {row['line']} {row['file']}"


def row_of(fault: Fault) -> dict[str, Any]:
    """What names a fault in the record."""
    content = hashlib.sha256((ROOT / fault.path).read_bytes()).hexdigest()[:16]
    return {"folder": fault.path.split("/")[2], "fault": fault.name, "line": fault.line, "file": content}


def judged(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Survivors with why, and `equivalent` where the fault changes no result."""
    reasons: dict[str, str] = json.loads(JUDGED.read_text()) if JUDGED.is_file() else {}
    found = []
    for row in rows:
        reason = reasons.get(row["fault"], "")
        if row["state"] != "caught":
            state = "equivalent" if reason.startswith("equivalent") else "survived"
            row = {**row, "state": state, "why": reason or "not looked at yet"}
        found.append(row)
    return found


def record(name: str, rows: Sequence[dict[str, Any]], settings: dict[str, Any], broken: Sequence[str]) -> list[Target]:
    """Write the record; the targets."""
    rows = judged(rows)
    counts = Counter(row["state"] for row in rows)
    real = counts["caught"] + counts["survived"]
    goals = [Target(f"caught, % of {real} faults that change a result", 100 * counts["caught"] / max(real, 1), WANTED)]
    notes = [f"{counts['equivalent']} faults of {len(rows)} change no result and do not count."]
    if len(rows) < settings["count"]:
        notes.insert(0, f"{len(rows)} of {settings['count']} are tried so far: run it again to go on.")
    notes += [f"Not asked, since it fails without a fault: {test}" for test in broken]
    save(name, CLAIM, settings, rows, goals, notes=notes)
    return goals


def main(arguments: argparse.Namespace) -> None:
    """Draw, try what is not known yet, record, print."""
    name = arguments.record
    known = rows_before(RESULTS / f"{name}.json")
    faults = draw(arguments.count, arguments.seed, arguments.folders, arguments.only)
    settings = {"seed": arguments.seed, "count": len(faults), "folders": arguments.folders, "only": arguments.only}
    rows = [known.get(_key(row), row) for row in map(row_of, faults)]
    with Tree(ROOT, ROOT / "build" / "planted") as tree:
        for number, (fault, row) in enumerate(zip(faults, rows, strict=True), 1):
            if "state" not in row or (arguments.again and row["state"] != "caught"):
                start = time.monotonic()
                outcome = tree.attempt(fault)
                row |= {**vars(outcome), "seconds": time.monotonic() - start}
                print(f"{number}/{len(faults)} {outcome.state} {fault.name} [{fault.line}] {outcome.by}", flush=True)
                record(name, [row for row in rows if "state" in row], settings, tree.broken)
        goals = record(name, rows, settings, tree.broken)
    cells = [(r["fault"], r["folder"], r["line"], r["state"], r["why"]) for r in judged(rows) if r["state"] != "caught"]
    show("Not caught", ("fault", "folder", "line", "state", "why"), cells)
    show_targets(goals)


def options() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=COUNT, help="how many faults")
    parser.add_argument("--seed", type=int, default=SEED, help="which faults")
    parser.add_argument("--folders", nargs="+", default=list(FOLDERS), choices=FOLDERS, help="where")
    parser.add_argument("--only", nargs="*", default=[], help="files whose paths hold one of these words")
    parser.add_argument("--again", action="store_true", help="try those again that survived")
    parser.add_argument("--record", default="planted_faults", help="name of the record")
    return parser.parse_args()


if __name__ == "__main__":
    main(options())
