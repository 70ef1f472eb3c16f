"""A file is whole or as it was, whatever ends its writing; locks follow no link; what has no owner is swept."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from intaglio.files import atomic, content_key, locked, readable, sweep, trusted, write_atomically
from intaglio.ir.errors import IntaglioError


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError, MemoryError])
def test_whatever_ends_the_writing_the_old_file_stays_and_nothing_else(error: type[BaseException], tmp_path: Path):
    path = tmp_path / "graph.txt"
    write_atomically(path, "old")
    with pytest.raises(error), atomic(path) as file:
        file.write(b"half")
        raise error
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_file_that_holds_the_content_already_is_left_alone(tmp_path: Path):
    path = tmp_path / "a"
    write_atomically(path, "one")
    number = path.stat().st_ino
    write_atomically(path, b"one")
    assert path.stat().st_ino == number
    write_atomically(path, "two")
    assert path.read_text() == "two"


LIMITED = """
import sys
from pathlib import Path
from intaglio.files import write_atomically
try:
    write_atomically(Path(sys.argv[1]), "x" * 100_000)
except ValueError as error:
    print(error)
"""


def test_a_limit_on_the_size_of_files_is_told_as_what_it_is(tmp_path: Path):
    command = ["sh", "-c", 'ulimit -f 8; exec "$0" -c "$1" "$2"', sys.executable, LIMITED, str(tmp_path / "a")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "the limit on the size of a file" in said and "raise `ulimit -f`" in said and "disk" not in said
    assert list(tmp_path.iterdir()) == []


WRITER = """
import sys, time
from pathlib import Path
from intaglio.files import atomic
with atomic(Path(sys.argv[1])) as file:
    print("writing", flush=True)
    time.sleep(600)
"""


def test_what_a_killed_writer_left_is_swept_and_what_is_being_written_is_not(tmp_path: Path):
    names = ("dead", "alive")
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        for path in (tmp_path / "sub" / name for name in names)
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None and writer.stdout.readline() == "writing\n"
        writers[0].send_signal(signal.SIGKILL)
        writers[0].wait()
        assert len(list((tmp_path / "sub").iterdir())) == 2
        sweep(tmp_path)
        assert [path.name for path in (tmp_path / "sub").iterdir()] == [f".alive.{writers[1].pid}.tmp"]
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()


def test_a_link_is_no_leftover(tmp_path: Path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / ".a.1.tmp").symlink_to(tmp_path / "precious")
    sweep(tmp_path)
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_lock_is_held_once_and_leaves_its_file_as_it_is(tmp_path: Path):
    path = tmp_path / "lock"
    path.write_text("content")
    with locked(path), pytest.raises(BlockingIOError), locked(path, wait=False):
        pass
    with locked(path, wait=False):
        assert path.read_text() == "content"
    with pytest.raises(FileNotFoundError), locked(tmp_path / "none", create=False):
        pass


def test_a_lock_follows_no_link(tmp_path: Path):
    (tmp_path / "victim").write_text("precious")
    for target in ("victim", "nothing"):
        (tmp_path / "lock").unlink(missing_ok=True)
        (tmp_path / "lock").symlink_to(tmp_path / target)
        with pytest.raises(OSError, match="a link is not followed: remove it"), locked(tmp_path / "lock"):
            pass
    assert (tmp_path / "victim").read_text() == "precious" and not (tmp_path / "nothing").exists()


def test_a_pipe_in_the_place_of_a_lock_holds_nobody_up(tmp_path: Path):
    os.mkfifo(tmp_path / "lock")
    with locked(tmp_path / "lock", wait=False):
        pass


def test_what_others_can_write_is_not_trusted(tmp_path: Path):
    path = tmp_path / "a"
    path.write_text("")
    path.chmod(0o644)
    assert trusted(path) and trusted(tmp_path) and not trusted(tmp_path / "none")
    for mode in (0o664, 0o646, 0o666):
        path.chmod(mode)
        assert not trusted(path)
    path.chmod(0o600)
    (tmp_path / "b").symlink_to(path)
    assert trusted(path) and not trusted(tmp_path / "b")


def test_a_path_that_is_not_text_can_be_shown():
    assert readable(Path("a/b")) == "a/b" and readable(Path(os.fsdecode(b"a\xff"))) == "a\ufffd"


def test_keys_do_not_depend_on_order_nor_confuse_parts():
    assert content_key({"a": 1, "b": 2}) == content_key({"b": 2, "a": 1}) != content_key({"a": 2, "b": 1})
    assert content_key("ab", "c") != content_key("a", "bc") and content_key("a") != content_key(("a",))
    assert content_key(np.zeros(2)) != content_key(np.zeros((2, 1))) != content_key(np.zeros(2, np.float32))


def test_a_write_that_fails_for_another_reason_says_which(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        write_atomically(tmp_path / "file" / "a", "x")
    with pytest.raises(IntaglioError, match="the disk is full: free some space and run the same command again"), atomic(
        tmp_path / "b"
    ):
        raise OSError(28, "No space left on device")


def test_writing_follows_no_link(tmp_path: Path):
    (tmp_path / "victim").write_text("precious")
    (tmp_path / f".a.{os.getpid()}.tmp").symlink_to(tmp_path / "victim")
    write_atomically(tmp_path / "a", "content")
    assert (tmp_path / "victim").read_text() == "precious" and not (tmp_path / "a").is_symlink()
    assert (tmp_path / "a").read_text() == "content"
