"""The peers: each in a virtual environment of its own under build/peers, at pinned versions.

A worker is one file of benchmarks/workers that a Python of some environment runs. It answers one JSON object
per line: first what it is (`setup`), then one answer per line it reads, so that contestants take turns.
"""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "build" / "peers"
WORKERS = Path(__file__).resolve().parent / "workers"

TORCH = "torch==2.13.0"

# Freed memory stays with the process: else some contestants pay page faults in every call and others, by chance, not.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}

# Each inner tuple is one `pip install`; torch goes first, so that what follows finds it there.
PEERS: dict[str, tuple[tuple[str, ...], ...]] = {
    "qonnx": (("qonnx==1.0.0", "onnx==1.19.1", "onnxruntime==1.31.0", "setuptools<81"),),
    "hls4ml": ((TORCH,), ("hls4ml==1.3.0",)),
    "da4ml": (("da4ml==0.6.0",),),
    "nngen": (("nngen==1.3.4", "veriloggen==2.3.0", "onnx==1.19.1"),),
    "brevitas": ((TORCH,), ("brevitas==0.13.3",)),
}


class PeerError(RuntimeError):
    """A peer could not be installed, or its worker failed."""


def python(peer: str) -> Path:
    """Python of a peer's environment, which is made first when it is missing or has other versions."""
    home = HOME / peer
    program = home / "bin" / "python"
    stamp = home / "installed.json"
    wanted = json.dumps(PEERS[peer])
    if stamp.is_file() and stamp.read_text() == wanted and program.is_file():
        return program
    print(f"installing {peer} into {home.relative_to(ROOT)} ...", file=sys.stderr)
    venv.create(home, with_pip=True, clear=True)
    for requirements in PEERS[peer]:
        _pip(program, requirements)
    stamp.write_text(wanted)
    return program


def _pip(program: Path, requirements: tuple[str, ...]) -> None:
    command = [str(program), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join(done.stderr.splitlines()[-8:])
        raise PeerError(f"pip install {' '.join(requirements)} failed: check the network or the pins\n{tail}")


@dataclass
class Worker:
    """A worker process: `setup` is its first answer, `ask` sends a line and gives the answer to it."""

    name: str
    program: Path
    arguments: tuple[str, ...] = ()
    threads: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    script: str = ""
    setup: dict[str, Any] = field(default_factory=dict, init=False)
    _process: subprocess.Popen[str] | None = field(default=None, init=False, repr=False)

    def __enter__(self) -> Self:
        """Start it and wait until it is set up."""
        limits = {name: str(self.threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
        path = os.pathsep.join([str(self.program.parent), os.environ.get("PATH", "")])
        env = {**os.environ, **limits, **ALLOCATOR, "OMP_WAIT_POLICY": "PASSIVE", "PATH": path, **self.environment}
        log = HOME / f"{self.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        script = WORKERS / f"run_{self.script or self.name}.py"
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [str(self.program), str(script), *self.arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=env,
                cwd=ROOT,
            )
        self.setup = self._answer()
        return self

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None and self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        tail = "\n".join((HOME / f"{self.name}.log").read_text().splitlines()[-8:])
        raise PeerError(f"the worker {self.name} stopped with status {self._process.wait()}\n{tail}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        if self._process is not None:
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process.wait(timeout=60)


def turn(workers: list[Worker], number: int) -> list[Worker]:
    """The order of one round: rotated by its number, every second one backwards, so that all come in all places."""
    first = number // 2 % len(workers)
    order = workers[first:] + workers[:first]
    return order if number % 2 == 0 else order[::-1]
