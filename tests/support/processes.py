"""Waiting for what other processes do, and seeing which of them are left."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 1200.0  # seconds; only a fault takes as long


def wait_until(condition: Callable[[], bool], why: str = "") -> None:
    """Return when `condition` holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, why or "it never happened"
        time.sleep(0.01)


def in_the_foreground() -> None:
    """For `preexec_fn`: signals are not ignored, as they are in what a shell starts in the background."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be asked for its status does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def marked(mark: str) -> list[int]:
    """Processes that run with `mark` in their environment."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (place / "environ").read_bytes() and alive(int(place.name)):
                found.append(int(place.name))
        except OSError:
            continue
    return found
