"""Trying faults in a copy of the tree: never in place, each with the tools' results as they are without a fault."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from benchmarks.mutation.fault import Fault
from benchmarks.mutation.selection import Map, Selection

LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "build", "dist", "runs", "__pycache__", ".pytest_cache", ".ruff_cache", ".hypothesis"
)
HERE = Path(__file__).resolve().parents[2]
PATIENCE = 7200
"""Seconds after which a whole trial has hung, in code that no signal interrupts."""


@dataclass(frozen=True)
class Outcome:
    """`state`: caught or survived; by which test, and what it said; tests that were run."""

    state: str
    by: str
    why: str
    tests: int


@dataclass
class Tree:
    """A copy of the tree below `root`; `work` keeps the tools' results and what tests cost without a fault.

    `costs`: processor seconds of every test that passes; `ready`: the test files of which this is known. Both may be of
    an earlier tree: of this one, `passing` are tests that pass without a fault, and `broken` are not asked.
    """

    root: Path
    work: Path
    costs: dict[str, float] = field(default_factory=dict)
    ready: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    passing: set[str] = field(default_factory=set)

    def __enter__(self) -> Self:
        """Copy the tree, and read what is known of its tests."""
        self.work.mkdir(parents=True, exist_ok=True)
        self.copy = Path(tempfile.mkdtemp(prefix="planted-"))
        self.tree = self.copy / "tree"
        shutil.copytree(self.root, self.tree, ignore=LEFT_OUT, symlinks=True)
        for runtime in (self.root / "build" / "tb").glob("runtime-*"):
            shutil.copytree(runtime, self.tree / "build" / "tb" / runtime.name)
        command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "src"]
        subprocess.run(command, cwd=self.tree, check=True)
        self.map = Map(self.tree)
        if self._known.is_file():
            vars(self).update(json.loads(self._known.read_text()))
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the copy."""
        shutil.rmtree(self.copy, ignore_errors=True)

    @property
    def _known(self) -> Path:
        return self.work / "tests.json"

    def prepare(self, files: Sequence[str]) -> None:
        """Run those test files without a fault that have not been: what passes, and at what cost."""
        for file in files:
            if file in self.ready:
                continue
            report = self._pytest([file], Selection((), ()), self.work / "cache", stop=False)
            self.costs |= report["costs"]
            self.broken += report["failures"]
            self.ready.append(file)
            self._known.write_text(json.dumps({"costs": self.costs, "ready": self.ready}, indent=1))

    def attempt(self, fault: Fault) -> Outcome:
        """Plant a fault, run the tests that meet it until one fails that passes without it, and take it out again."""
        selection = self.map.of(fault.path)
        self.prepare(selection.files)
        while True:
            outcome = self._met(fault, selection)
            if outcome.state == "survived" or self._passes(outcome.by):
                return outcome
            self.broken.append(outcome.by)

    def _passes(self, test: str) -> bool:
        """Whether a test passes without a fault; pytest itself, when it falls over, does."""
        if test not in {*self.passing, "pytest"}:
            report = self._pytest([test], Selection((), ()), self.work / "cache")
            if report["failed"] is not None:
                return False
            self.passing.add(test)
        return True

    def _met(self, fault: Fault, selection: Selection) -> Outcome:
        """What the tests say of a fault."""
        path = self.tree / fault.path
        whole, cache = path.read_bytes(), self.work / "tried"
        try:
            fault.plant(self.tree)
            shutil.rmtree(cache, ignore_errors=True)
            subprocess.run(["cp", "-al", self.work / "cache", cache], check=True)
            report = self._pytest(selection.files, selection, cache)
        finally:
            path.write_bytes(whole)
            shutil.rmtree(cache, ignore_errors=True)
        state = "survived" if report["failed"] is None else "caught"
        return Outcome(state, report["failed"] or "", report["why"], len(report["costs"]))

    def _pytest(self, files: Collection[str], chosen: Selection, cache: Path, stop: bool = True) -> dict[str, Any]:
        """Run pytest in a session of its own; what the plugin reports."""
        cache.mkdir(parents=True, exist_ok=True)
        report, settings = self.copy / "report.json", self.copy / "settings.json"
        report.unlink(missing_ok=True)
        values = {"costs": self.costs, "close": chosen.close, "modules": chosen.modules, "skip": self.broken}
        settings.write_text(json.dumps({**values, "report": str(report)}))
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "benchmarks.mutation.order"]
        command += [*(["-x"] if stop else []), *files]
        environment = {
            **os.environ, "PYTHONPATH": f"{self.tree / 'src'}:{self.tree}:{HERE}", "PLANTED": str(settings),
            "INTAGLIO_CACHE": str(cache), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1",
            "OMP_WAIT_POLICY": "PASSIVE",
        }  # fmt: skip
        return self._reported(command, environment, report)

    def _reported(self, command: list[str], environment: dict[str, str], report: Path) -> dict[str, Any]:
        """Run a command to its end, end what it leaves, and read its report; one without a report fell over."""
        process = subprocess.Popen(
            command, cwd=self.tree, env=environment, start_new_session=True, text=True, errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            output, _ = process.communicate(timeout=PATIENCE)
            why = (output.strip().splitlines() or [""])[-1][:200]
        except subprocess.TimeoutExpired:
            why = f"hangs: not finished after {PATIENCE} s"
        finally:
            _end(process)
        if report.is_file() and process.returncode in (0, 1, 2, 5):
            return json.loads(report.read_text())
        return {"failed": "pytest", "why": why, "costs": {}, "failures": []}


def _end(process: subprocess.Popen[str]) -> None:
    """End a process with all of its session."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
