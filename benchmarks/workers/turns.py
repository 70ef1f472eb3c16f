"""The protocol of a worker: say what it is, then time calls whenever asked. Standard library only."""

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any


def versions(*packages: str) -> dict[str, str]:
    """Installed versions, of those that are installed; and of Python."""
    found = {"python": sys.version.split()[0]}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def say(**answer: Any) -> None:
    """One answer."""
    print(json.dumps(answer), flush=True)


def take_turns(call: Callable[[], Any], warm_up: int = 2, **setup: Any) -> None:
    """Announce `setup`; then for every request {"seconds": s} call for so long and answer calls and seconds.

    wall and cpu are those of the whole turn; cpu counts all threads of the process.
    """
    for _ in range(warm_up):
        call()
    say(**setup)
    for line in sys.stdin:
        least = json.loads(line)["seconds"]
        calls, cpu, start = 0, time.process_time(), time.perf_counter()
        while calls == 0 or time.perf_counter() - start < least:
            call()
            calls += 1
        say(calls=calls, wall=time.perf_counter() - start, cpu=time.process_time() - cpu)
