"""Stands between us and a tool, as a process of its own: `python guard.py <command>`.

The tool runs in a session of its own with a directory of its own for temporary files. It ends, with everything that it
started, when it is done or when our end of the standard input is closed, which the kernel does however we end. Then
the temporary files are removed. The exit status is the tool's, 128 + n after signal n, 127 when it cannot be started.
"""

import _thread
import os
import shutil
import signal
import sys
import tempfile
from contextlib import suppress

NOT_STARTED = 127
_ASKED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # who asks us to end asks our parent too


def main(command: list[str]) -> int:
    """Run `command` to its end, or to ours; returns the exit status."""
    for number in _ASKED:
        signal.signal(number, signal.SIG_IGN)
    try:
        scratch = tempfile.mkdtemp(prefix="intaglio-")
    except OSError as error:
        print(f"no directory for temporary files: {error}", file=sys.stderr)
        return NOT_STARTED
    try:
        return _run(command, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _run(command: list[str], scratch: str) -> int:
    tool = _start(command, scratch)
    _thread.start_new_thread(_wait_for_our_end, (tool,))
    os.waitid(os.P_PID, tool, os.WEXITED | os.WNOWAIT)
    _end(tool)  # what it left running
    status = os.waitstatus_to_exitcode(os.waitpid(tool, 0)[1])
    return status if status >= 0 else 128 - status


def _start(command: list[str], scratch: str) -> int:
    tool = os.fork()
    if tool:
        return tool
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number in (*_ASKED, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.execvpe(command[0], command, {**os.environ, "TMPDIR": scratch})
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr, flush=True)
    os._exit(NOT_STARTED)


def _wait_for_our_end(tool: int) -> None:
    while os.read(0, 1):
        pass
    _end(tool)


def _end(tool: int) -> None:
    """End the tool and all that it has started; it has not been waited for, so its number is still its own."""
    with suppress(OSError):
        os.kill(tool, signal.SIGKILL)
    with suppress(OSError):
        os.killpg(tool, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
