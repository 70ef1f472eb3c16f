"""Runs of a tiny job that are ended, starved or disturbed, and what may not be left of them."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.run import tiny
from tests.support.processes import in_the_foreground, marked

ROOT = Path(__file__).resolve().parents[2]
SAME = ("float.safetensors", "model.safetensors", "graph.txt", "constants.bin", "design.bit")
PATIENCE = 900.0  # seconds; what takes longer hangs


@dataclass
class Place:
    """Where a case runs: a folder of its own, a cache, and what was found wrong so far."""

    home: Path
    cache: Path
    faults: list[str] = field(default_factory=list[str])

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.home / "run"

    @property
    def scratch(self) -> Path:
        """Where temporary files go."""
        return self.home / "scratch"

    def blame(self, wrong: bool, words: str) -> None:
        """Note a fault."""
        if wrong:
            self.faults.append(words)


def command(folder: Path) -> list[str]:
    """The command that runs, or resumes, the tiny job in `folder`."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    recipe = tiny.recipe(folder.with_suffix(".yaml"))
    return [sys.executable, "-m", "tests.run.tiny", "run", str(recipe), "--out", str(folder), "--json"]


def environment(place: Place, **more: str) -> dict[str, str]:
    """Variables of a run of a case."""
    place.scratch.mkdir(parents=True, exist_ok=True)
    path = f"{ROOT / 'src'}:{ROOT}:{os.environ.get('PYTHONPATH', '')}"
    known = {"PYTHONPATH": path, "INTAGLIO_CACHE": str(place.cache), "TMPDIR": str(place.scratch),
             "TORCHINDUCTOR_CACHE_DIR": str(place.home / "torch")}  # fmt: skip
    return {**os.environ, **known, "OMP_NUM_THREADS": "1", **more}


def start(place: Place, folder: Path | None = None, **more: str) -> "subprocess.Popen[str]":
    """Start a run."""
    return subprocess.Popen(
        command(folder or place.folder), cwd=ROOT, env=environment(place, **more), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, preexec_fn=in_the_foreground,
    )  # fmt: skip


def end(place: Place, ready: Callable[[], bool], number: signal.Signals, **more: str) -> None:
    """Start a run, end it by a signal when `ready` holds, and blame what it leaves behind."""
    process = start(place, **more)
    limit = time.monotonic() + PATIENCE
    while not ready() and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.01)
    place.blame(process.poll() is not None or time.monotonic() > limit, "it did not come to the step")
    process.send_signal(number)
    words = _said(process)
    gone = number == signal.SIGKILL
    wanted = -number if gone else 128 + number
    place.blame(process.returncode != wanted, f"status {process.returncode} instead of {wanted}")
    silent = not gone and not words.endswith("run the same command again to continue\n")
    place.blame(silent, f"it does not say how to go on: {words[-200:]}")
    leavings(place, words, killed=gone)


def _said(process: "subprocess.Popen[str]") -> str:
    """What a run told until it ended; one that hangs is ended."""
    try:
        return process.communicate(timeout=PATIENCE)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[1]


def fails(place: Place, process: "subprocess.Popen[str]", *words: str) -> None:
    """Wait for a run that must fail with a message that holds one of `words`, and leave nothing behind."""
    said = _said(process)
    place.blame(process.returncode != 2, f"status {process.returncode} instead of 2")
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    place.blame(not any(word in line for line in errors for word in words), f"it says {errors}")
    leavings(place, said)


def resume(place: Place, reference: Path) -> None:
    """Run to the end, and blame what is not as in the undisturbed run."""
    process = start(place)
    said = _said(process)
    place.blame(process.returncode != 0, f"resumed with status {process.returncode}: {said[-300:]}")
    leavings(place, said)
    if process.returncode == 0:
        equal(place, place.folder, reference)


def equal(place: Place, folder: Path, reference: Path) -> None:
    """Blame what a finished run has found otherwise than the undisturbed one."""
    place.blame(tiny.findings(folder) != tiny.findings(reference), "other measurements than undisturbed")
    differ = [name for name in SAME if (folder / name).read_bytes() != (reference / name).read_bytes()]
    place.blame(bool(differ), f"other files than undisturbed: {differ}")
    place.blame({p.name for p in (folder / "rtl").iterdir()} != {p.name for p in (reference / "rtl").iterdir()},
                "other files in rtl/ than undisturbed")  # fmt: skip


def leavings(place: Place, words: str, killed: bool = False) -> None:
    """Blame processes, temporary files and, unless it was killed, half-done files that a run left; and a traceback."""
    place.blame("Traceback" in words, f"a traceback: {words[-300:]}")
    mark, limit = f"TMPDIR={place.scratch}", time.monotonic() + 60
    while (marked(mark) or list(place.scratch.iterdir())) and time.monotonic() < limit:
        time.sleep(0.02)  # the tools of a killed run end a moment after it
    place.blame(bool(marked(mark)), "orphans")
    place.blame(bool(list(place.scratch.iterdir())), "temporary files")
    left = [] if killed else [*place.folder.rglob("*.tmp"), *place.cache.rglob(".building-*")]
    place.blame(bool(left), f"left behind: {[path.name for path in left]}")


def copy(source: Path, target: Path) -> Path:
    """A copy in which files share their content, until they are replaced."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, copy_function=os.link)
    return target


def begun(place: Place, reference: Path, step: str) -> None:
    """A copy of the undisturbed run that stands before `step`."""
    shutil.rmtree(place.folder, ignore_errors=True)
    shutil.copytree(reference, place.folder)
    for name in tiny.STEPS[tiny.STEPS.index(step) :]:
        (place.folder / "steps" / f"{name}.json").unlink()
