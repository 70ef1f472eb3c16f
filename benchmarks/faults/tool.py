"""A tool that misbehaves: `python tool.py <how> <real command>`.

hang: it never ends, and starts a child that does not either. fail: it says something and fails. crash: it is killed.
lie: it says that it succeeded and leaves nothing. half: it does its work, cuts the files that it made to half, and says
that it succeeded. A question for its version is answered as ever.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

KEPT = (".log", ".ys")  # what a tool tells about its work is not its result


def main(how: str, command: list[str]) -> int:
    """Misbehave; returns the exit status."""
    if "--version" in command:
        return subprocess.run(command, check=False).returncode
    if how == "hang":
        subprocess.Popen(["sleep", "3600"])
        time.sleep(3600)
    if how == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "half":
        return _halve(command)
    if how == "fail":
        print("error: it does not work today", file=sys.stderr)
    return how == "fail"


def _halve(command: list[str]) -> int:
    before = _files()
    status = subprocess.run(command, check=False).returncode
    for path, time_ns in _files().items():
        if before.get(path) != time_ns and path.suffix not in KEPT:
            os.truncate(path, path.stat().st_size // 2)
    return status


def _files() -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
