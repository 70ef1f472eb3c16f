"""Running an external program to its end, within a time, and never beyond ours.

Every program runs behind `guard.py`: it ends with all of its children when its time is over, when the block that it
works for ends early (`together`), or when this process ends, even by a kill.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from intaglio.errors import ToolError

GUARD = Path(__file__).with_name("guard.py")
LIMIT = "INTAGLIO_TOOL_SECONDS"
SECONDS = 7200.0
"""How long a tool may take unless the environment says otherwise."""

_LOOK = 0.2  # seconds between two looks at whether a tool must end
_GRACE = 5.0  # seconds to read what a tool printed, after its end, while a daemon of it holds the output open
_KEPT = 1 << 20
_STOPS: ContextVar[tuple[Event, ...]] = ContextVar("stops", default=())


class Stopped(ToolError):
    """A tool that was ended because its result is no longer wanted."""


@dataclass(frozen=True)
class Outcome:
    """How a program ended: exit status (128 + n after signal n; None when its time was over), and what it printed."""

    status: int | None
    output: str


def time_limit() -> float:
    """Seconds that a tool may take: $INTAGLIO_TOOL_SECONDS, else two hours. Raises ToolError for what is no time."""
    text = os.environ.get(LIMIT)
    try:
        seconds = float(text) if text else SECONDS
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise ToolError(f"{LIMIT} = {text!r} is no number of seconds: give a positive one, or leave it unset")
    return seconds


def execute(command: list[str], cwd: Path, env: dict[str, str] | None = None, seconds: float | None = None) -> Outcome:
    """Run a program in `cwd` for at most `seconds` (else `time_limit`); its output is read as UTF-8.

    Raises OSError when no process can be started, Stopped when the result is no longer wanted.
    """
    reader, ours = os.pipe()
    try:
        guard = subprocess.Popen(
            [sys.executable, "-I", "-S", str(GUARD), *command], cwd=cwd, env=env, stdin=reader,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, bufsize=0,
        )  # fmt: skip
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(reader)
    said = _Said(guard)
    try:
        said.start()
        late = _watch(guard, said, time.monotonic() + (seconds or time_limit()))
    finally:
        os.close(ours)  # the guard ends the tool, if it still runs
        guard.wait()
        said.join(_GRACE)
    return Outcome(None if late else guard.returncode, bytes(said.first + said.last).decode("utf-8", "replace"))


class _Said(Thread):
    """Reads what a program prints and keeps the first and the last `_KEPT` bytes: it may never stop."""

    def __init__(self, guard: subprocess.Popen[bytes]) -> None:
        super().__init__(daemon=True)
        self.guard, self.first, self.last = guard, bytearray(), bytearray()

    def run(self) -> None:
        assert self.guard.stdout is not None
        with self.guard.stdout as stream:
            while piece := stream.read(1 << 16):
                room = _KEPT - len(self.first)
                self.first += piece[:room]
                self.last += piece[room:]
                del self.last[:-_KEPT]


def _watch(guard: subprocess.Popen[bytes], said: _Said, end: float) -> bool:
    """Wait for a program to end; whether its time was over before."""
    while True:
        said.join(_LOOK)
        if not said.is_alive() or guard.poll() is not None:
            return False
        if any(stop.is_set() for stop in _STOPS.get()):
            raise Stopped("ended early: its result is no longer wanted")
        if time.monotonic() > end:
            return True


@contextmanager
def until(*stops: Event) -> Generator[None]:
    """The tools of this block, in this thread, end when one of the events is set."""
    token = _STOPS.set((*_STOPS.get(), *stops))
    try:
        yield
    finally:
        _STOPS.reset(token)


def together(*tasks: Callable[[], None]) -> None:
    """Do tasks side by side; when one fails, or we are interrupted, the tools of the others are ended."""
    stop, outer = Event(), _STOPS.get()

    def do(task: Callable[[], None]) -> None:
        with until(*outer, stop):
            try:
                task()
            except BaseException:
                stop.set()
                raise

    with ThreadPoolExecutor(len(tasks)) as pool:
        futures = [pool.submit(do, task) for task in tasks]
        try:
            errors = [future.exception() for future in futures]
        except BaseException:
            stop.set()
            raise
    errors = [error for error in errors if error is not None]
    if errors:
        raise next((error for error in errors if not isinstance(error, Stopped)), errors[0])
