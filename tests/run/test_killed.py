"""Runs that are killed with -9 continue to the same result; runs that fill the disk say so and continue after."""

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

from tests.run import tiny

ROOT = Path(__file__).parents[2]
PATIENCE = 240


def command(path: Path, folder: Path) -> list[str]:
    return [sys.executable, "-m", "tests.run.tiny", "run", str(path), "--out", str(folder), "--json"]


def environment(cache: Path | None = None) -> dict[str, str]:
    path = f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"
    return {**os.environ, "PYTHONPATH": path, **({"INTAGLIO_CACHE": str(cache)} if cache else {})}


def kill_when(ready: Callable[[], bool], arguments: list[str], cache: Path) -> None:
    """Start a run and kill it, with all of its tools, at the moment when `ready` holds."""
    process = subprocess.Popen(
        arguments, env=environment(cache), start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + PATIENCE
        while not ready():
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < end
            time.sleep(0.002)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def marked(folder: Path) -> set[str]:
    """Steps that are marked finished."""
    return {path.stem for path in (folder / "steps").glob("*.json")}


def building(cache: Path, kind: str) -> bool:
    """Whether a tool is at work on an entry of the cache."""
    return any(any(work.iterdir()) for work in (cache / kind).glob(".building-*"))


def test_kill_in_training_in_simulation_and_in_synthesis(finished, tmp_path):
    folder, cache = tmp_path / "run", tmp_path / "cache"
    arguments = command(tiny.recipe(tmp_path / "tiny.yaml"), folder)

    kill_when(lambda: any(folder.glob("checkpoints/train-*/checkpoint.pt")), arguments, cache)
    (saved,) = folder.glob("checkpoints/train-*/checkpoint.pt")
    state = torch.load(saved, weights_only=True)
    begun = state["history"]
    assert 0 < len(begun) < tiny.JOB["train"]["epochs"] and marked(folder) == set()
    begun[0]["seen"] = 1.0  # if training began again, this would be gone
    torch.save(state, saved)

    kill_when(lambda: building(cache, "simulators"), arguments, cache)
    history = torch.load(saved, weights_only=True)["history"]
    assert history[: len(begun)] == begun and len(history) == tiny.JOB["train"]["epochs"]
    assert marked(folder) == set(tiny.STEPS[: tiny.STEPS.index("simulate")])
    times = {path: path.stat().st_mtime_ns for path in (folder / "steps").iterdir()}

    kill_when(lambda: building(cache, "synthesis"), arguments, cache)
    assert not any((cache / "synthesis").glob("*/manifest.json")) and "synthesize" not in marked(folder)

    done = subprocess.run(arguments, env=environment(cache), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert tiny.findings(folder) == tiny.findings(finished[0])
    for name in ("float.safetensors", "model.safetensors", "graph.txt", "constants.bin", "design.bit"):
        assert (folder / name).read_bytes() == (finished[0] / name).read_bytes(), name
    assert list(folder.rglob("*.tmp")) + list(folder.rglob("*.part")) == []


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
    assert "report." in second and "the disk is full" in second
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
