"""Runs that are ended, by a kill or by a signal, continue to the same result; runs that fill the disk say so.

However a run ends, no process and no temporary file is left of it; a kill leaves what it wrote to the next run.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support import processes

from intaglio.hardware.cache import cache_root, intact
from intaglio.run.pipeline import REPORTS
from tests.run import tiny

ROOT = Path(__file__).parents[2]


def command(path: Path, folder: Path) -> list[str]:
    return [sys.executable, "-m", "tests.run.tiny", "run", str(path), "--out", str(folder), "--json"]


def environment(cache: Path | None = None) -> dict[str, str]:
    path = f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"
    return {**os.environ, "PYTHONPATH": path, **({"INTAGLIO_CACHE": str(cache)} if cache else {})}


def end_when(ready: Callable[[], bool], number: signal.Signals, arguments: list[str], cache: Path, **more: str) -> None:
    """Start a run and send the signal to it alone, not to its tools, at the moment when `ready` holds."""
    scratch = Path(arguments[arguments.index("--out") + 1]).parent / "scratch"
    scratch.mkdir(exist_ok=True)
    quiet = {"TORCHINDUCTOR_CACHE_DIR": f"{scratch}-torch"}  # PyTorch keeps it for the next run
    variables = {**environment(cache), "TMPDIR": str(scratch), **quiet, **more}
    process = subprocess.Popen(
        arguments, env=variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=processes.in_the_foreground,
    )  # fmt: skip
    try:
        processes.wait_until(lambda: ready() or process.poll() is not None)
        assert process.poll() is None, "the run ended before it was told to"
    finally:
        process.send_signal(number)
        try:
            output, words = process.communicate(timeout=processes.PATIENCE)
        finally:
            process.kill()
    processes.wait_until(lambda: processes.marked(f"TMPDIR={scratch}") == [], "something is left running")
    processes.wait_until(lambda: list(scratch.iterdir()) == [], "a temporary file is left")
    assert output == "" and "Traceback" not in words
    if number == signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert process.returncode == 128 + number, words
        assert words.endswith(f"ended by {number.name}: run the same command again to continue\n")
        folder = Path(arguments[arguments.index("--out") + 1])
        assert half_done(folder) == [] and (cache == cache_root() or half_done(cache) == [])


def half_done(folder: Path) -> list[Path]:
    """What somebody began to write and did not finish."""
    return [path for pattern in ("*.tmp", ".building-*") for path in folder.rglob(pattern)]


def marked(folder: Path) -> set[str]:
    """Steps that are marked finished."""
    return {path.stem for path in (folder / "steps").glob("*.json")}


def building(cache: Path, kind: str, since: int = 0) -> bool:
    """Whether a tool is at work on an entry of the cache that was begun after `since`, a time in ns."""
    return any(any(p.stat().st_ctime_ns > since for p in work.iterdir()) for work in (cache / kind).glob(".building-*"))


def test_ended_in_training_killed_in_simulation_ended_in_synthesis(finished, tmp_path):
    folder, cache = tmp_path / "run", tmp_path / "cache"
    arguments = command(tiny.recipe(tmp_path / "tiny.yaml"), folder)

    end_when(lambda: any(folder.glob("checkpoints/train-*/checkpoint.pt")), signal.SIGINT, arguments, cache)
    (saved,) = folder.glob("checkpoints/train-*/checkpoint.pt")
    state = torch.load(saved, weights_only=True)
    begun = state["history"]
    assert 0 < len(begun) < tiny.JOB["train"]["epochs"] and marked(folder) == set()
    begun[0]["seen"] = 1.0  # if training began again, this would be gone
    torch.save(state, saved)

    end_when(lambda: building(cache, "simulators"), signal.SIGKILL, arguments, cache)
    history = torch.load(saved, weights_only=True)["history"]
    assert history[: len(begun)] == begun and len(history) == tiny.JOB["train"]["epochs"]
    assert marked(folder) == set(tiny.STEPS[: tiny.STEPS.index("simulate")])
    times = {path: path.stat().st_mtime_ns for path in (folder / "steps").iterdir()}

    assert half_done(cache) != []  # the kill's
    begin = time.time_ns()
    end_when(lambda: building(cache, "synthesis", begin), signal.SIGTERM, arguments, cache)
    assert all(map(intact, (cache / "synthesis").glob("[!.]*/"))) and "synthesize" not in marked(folder)

    done = subprocess.run(arguments, env=environment(cache), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert tiny.findings(folder) == tiny.findings(finished[0])
    for name in ("float.safetensors", "model.safetensors", "graph.txt", "constants.bin", "design.bit"):
        assert (folder / name).read_bytes() == (finished[0] / name).read_bytes(), name
    assert half_done(folder) + half_done(cache) == []


@pytest.mark.parametrize(("step", "number"), [
    ("lower", signal.SIGTERM), ("carve", signal.SIGKILL), ("gates", signal.SIGINT), ("place", signal.SIGHUP)
])  # fmt: skip
def test_a_run_ended_at_the_end_of_a_step_goes_on_with_that_step(finished, tmp_path, step, number):
    """The tools' results are in the cache: nothing but the run itself is at work."""
    folder, waits = tmp_path / "run", tmp_path / "waits"
    shutil.copytree(finished[0], folder)
    for name in tiny.STEPS[tiny.STEPS.index(step) :]:
        (folder / "steps" / f"{name}.json").unlink()
    before = marked(folder)
    arguments = command(tiny.recipe(tmp_path / "tiny.yaml"), folder)
    cache = cache_root()
    end_when(waits.exists, number, arguments, cache, TINY_WAITS=f"{step}:{waits}")
    assert marked(folder) == before and not (folder / "measurements.json").exists()
    (folder / f".graph.txt.{2**22}.tmp").write_text("what a kill leaves")
    done = subprocess.run(arguments, env=environment(cache), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert tiny.findings(folder) == tiny.findings(finished[0]) and half_done(folder) == []


def mounted(script: str, *words: str, cache: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a shell script that may mount file systems of its own."""
    shell = ["unshare", "-rm", "sh", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*shell, "mount -t tmpfs none /mnt"]).returncode:
        pytest.skip("no small file system can be mounted here")
    return subprocess.run(
        [*shell, script, "sh", *words], env=environment(cache), capture_output=True, text=True, check=False
    )


def test_a_full_disk_is_told_and_costs_nothing(finished, tmp_path):
    """4 KiB are full in training, 200 KiB when the report is written, 64 MiB suffice."""
    small = tmp_path / "small"
    small.mkdir()
    arguments = command(tiny.recipe(tmp_path / "tiny.yaml"), small / "run")
    script = 'small=$1; shift; mount -t tmpfs -o size=4k none "$small"; "$@"; echo $?; '
    script += 'mount -o remount,size=200k "$small"; "$@"; echo $?; '
    script += 'mount -o remount,size=64m "$small"; "$@" >/dev/null; echo $?; '
    script += 'cp "$small/run/measurements.json" "$small/.."'
    done = mounted(script, str(small), *arguments)
    assert done.stdout.split() == ["2", "2", "0"], done.stderr
    first, second = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "checkpoint.pt cannot be written" in first and "disk full" in first
    assert any(name in second for name in REPORTS) and "the disk is full" in second
    assert all("un the same command again" in line for line in (first, second)) and "Traceback" not in done.stderr
    assert done.stderr.count("train the float network") == 3
    assert tiny.findings(tmp_path) == tiny.findings(finished[0])


def test_a_full_cache_is_told(tmp_path):
    """100 KiB are full in the middle of what the first tool writes."""
    small = tmp_path / "small"
    small.mkdir()
    arguments = command(tiny.recipe(tmp_path / "tiny.yaml"), tmp_path / "run")
    done = mounted('mount -t tmpfs -o size=100k none "$INTAGLIO_CACHE" && exec "$@"', *arguments, cache=small)
    assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr
    assert "free some space or set INTAGLIO_CACHE" in done.stderr
