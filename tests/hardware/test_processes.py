"""A tool ends when it is done, when its time is over, when nobody wants its result, and when we end, however we do."""

import os
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
from support.processes import alive, in_the_foreground, marked, wait_until

from intaglio.hardware import processes, tools
from intaglio.hardware.processes import LIMIT, Outcome, Stopped, execute, time_limit, together, until
from intaglio.ir.errors import ToolError


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the temporary files of the tools lie; a test leaves none."""
    place = tmp_path / "scratch"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    yield place
    assert list(place.iterdir()) == []


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


def test_status_and_output(tmp_path: Path):
    assert execute(shell("echo out; echo err >&2; exit 3"), tmp_path) == Outcome(3, "out\nerr\n")
    assert execute(shell("kill -TERM $$"), tmp_path).status == 128 + signal.SIGTERM
    assert execute(shell("printf 'a\\377'"), tmp_path) == Outcome(0, "a\ufffd")
    assert execute(shell("cat"), tmp_path) == Outcome(0, "")  # nothing to read
    with pytest.raises(ToolError, match=r"tool cannot be started: install it\n.*no-such-tool: No such file"):
        tools.run([str(tmp_path / "no-such-tool")], tmp_path, "tool", "install it")


def test_what_a_tool_leaves_running_ends_with_it(tmp_path: Path):
    """A child that holds the output open holds nobody up, and files in the temporary directory go."""
    done = execute(shell("sleep 600 & echo $!; mktemp > /dev/null; echo $TMPDIR"), tmp_path)
    child, directory = done.output.split()
    assert not alive(int(child)) and not Path(directory).exists()


def test_a_daemon_that_holds_the_output_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It left the session of the tool, so it lives on; what the tool itself printed is there."""
    monkeypatch.setattr(processes, "_GRACE", 0.5)
    daemon = "setsid sh -c 'echo $$; touch ready; exec sleep 600'"
    done = execute(shell(f"{daemon} & while [ ! -e ready ]; do :; done"), tmp_path)
    try:
        assert done.status == 0 and alive(int(done.output))
    finally:
        os.kill(int(done.output), signal.SIGKILL)


def test_of_a_tool_that_prints_without_end_beginning_and_end_are_kept(tmp_path: Path):
    done = execute(shell("echo first; head -c 5000000 /dev/zero; echo last"), tmp_path)
    assert done.output.startswith("first\n") and done.output.endswith("\0last\n") and len(done.output) == 2 << 20


def test_a_tool_that_hangs_is_ended_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(LIMIT, "1.5")
    script = "echo $$ > pid; sleep 600 & echo $! >> pid; echo so far; wait"
    with pytest.raises(ToolError, match=r"tool did not end within 1\.5 s.*set INTAGLIO_TOOL_SECONDS to more.*fold"):
        tools.run(shell(script), tmp_path, "tool", "fold more")
    pids = (tmp_path / "pid").read_text().split()
    assert len(pids) == 2 and not any(alive(int(pid)) for pid in pids)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon"])
def test_a_limit_that_is_no_time(text: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(LIMIT, text)
    with pytest.raises(ToolError, match=f"INTAGLIO_TOOL_SECONDS = '{text}'"):
        time_limit()
    monkeypatch.setenv(LIMIT, "")
    assert time_limit() == 7200


CALLER = """
import sys
from pathlib import Path
from intaglio.hardware.processes import execute
script = "echo $$ > pids; mktemp > /dev/null; sleep 600 & echo $! >> pids; echo . > ready; wait"
execute(["sh", "-c", script], Path(sys.argv[1]))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_tools_end_with_us_however_we_end(number: signal.Signals, tmp_path: Path):
    mark = f"MARK={tmp_path}"
    environment = {**os.environ, "MARK": str(tmp_path)}
    command = [sys.executable, "-c", CALLER, str(tmp_path)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, preexec_fn=in_the_foreground)
    try:
        wait_until((tmp_path / "ready").exists)
        assert all(alive(int(pid)) for pid in (tmp_path / "pids").read_text().split())
    finally:
        process.send_signal(number)
        process.wait()
    wait_until(lambda: marked(mark) == [], "something is left running")


def test_an_exception_in_the_caller_ends_the_tool(tmp_path: Path):
    stop, caught = threading.Event(), []

    def work() -> None:
        with until(stop):
            try:
                execute(shell("echo $$ > pid; echo . > ready; sleep 600"), tmp_path)
            except Stopped as error:
                caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    wait_until((tmp_path / "ready").exists)
    stop.set()
    thread.join()
    assert len(caught) == 1 and not alive(int((tmp_path / "pid").read_text()))


def test_of_tasks_side_by_side_one_failure_ends_all(tmp_path: Path):
    def hang(name: str) -> None:
        execute(shell(f"echo $$ > {name}; sleep 600"), tmp_path)

    def fail() -> None:
        wait_until(lambda: all((tmp_path / name).exists() and (tmp_path / name).read_text() for name in "ab"))
        raise ToolError("the reason")

    with pytest.raises(ToolError, match="the reason"):
        together(partial(hang, "a"), fail, partial(hang, "b"))
    assert not any(alive(int((tmp_path / name).read_text())) for name in "ab")
    together(lambda: None)


@pytest.mark.parametrize(("script", "words"), [
    ("exit 0", r"tool ended with success, but its result out is missing: see its log"),
    (": > out", r"result out is missing"),
    ("echo 'No space left on device'; exit 1", r"tool failed: the disk is full: free some space or set INTAGLIO_CACHE"),
    ("kill -XFSZ $$", r"tool failed: a file would be larger than is allowed: raise `ulimit -f`"),
    ("ulimit -f 1; head -c 9999 /dev/zero > out", r"larger than is allowed: raise `ulimit -f`"),
    ("kill -KILL $$", r"want of memory"),
    ("echo 'cc1plus: out of memory allocating 8 bytes'; exit 1", r"want of memory"),
    ("echo a error; exit 7", r"tool failed with exit status 7: the remedy\na error"),
])  # fmt: skip
def test_what_a_tool_says_and_does_not_say(script: str, words: str, tmp_path: Path):
    with pytest.raises(ToolError, match=words):
        tools.run(shell(script), tmp_path, "tool", "the remedy", makes=["out"])


def test_a_limit_on_the_size_of_files_is_named_where_a_result_is_missing(tmp_path: Path):
    code = "import sys; from pathlib import Path; from intaglio.hardware import tools; "
    code += "tools.run(['true'], Path(sys.argv[1]), 'tool', 'r', makes=['out'])"
    script = 'ulimit -f 8; exec "$0" -c "$1" "$2"'
    done = subprocess.run(["sh", "-c", script, sys.executable, code, str(tmp_path)], capture_output=True, text=True)
    assert "raise `ulimit -f` (now 4096 bytes)" in done.stderr or "raise `ulimit -f` (now 8192 bytes)" in done.stderr


def test_a_compiler_named_from_here_is_found_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "mine").write_text("#!/bin/sh\necho mine 1.0\n")
    (tmp_path / "mine").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CXX", "./mine")
    assert Path(tools.compiler()) == tmp_path / "mine"
