"""The cache keeps what can be used and what nobody else could have written, and sweeps what a kill left."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.processes import in_the_foreground, wait_until
from support.small_designs import stage

from intaglio.files import file_key
from intaglio.hardware.cache import MANIFEST, cache_root, cached, intact, loaded
from intaglio.hardware.simulate import build
from intaglio.ir.errors import ToolError


def maker(content: str = "whole"):
    def make(work: Path) -> None:
        (work / "file").write_text(content)

    return make


def entry_of(root: Path, content: str = "first") -> Path:
    entry = cached("kind", "key", maker(content), root)
    assert intact(entry) and (entry / "file").read_text() == content
    return entry


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("part", ["", "file", MANIFEST])
def test_an_entry_of_another_owner_is_not_used(part: str, tmp_path: Path):
    entry = entry_of(tmp_path)
    os.chown(entry / part, 12345, -1)
    assert not intact(entry)
    again = cached("kind", "key", maker("second"), tmp_path)
    assert intact(again) and (again / "file").read_text() == "second"


@pytest.mark.parametrize("part", ["", "file", MANIFEST])
@pytest.mark.parametrize("mode", [0o020, 0o002])
def test_an_entry_that_others_may_write_is_not_used(part: str, mode: int, tmp_path: Path):
    entry = entry_of(tmp_path)
    (entry / part).chmod((entry / part).stat().st_mode | mode)
    assert not intact(entry)
    again = cached("kind", "key", maker("second"), tmp_path)
    assert intact(again) and (again / "file").read_text() == "second"


@pytest.mark.parametrize("part", ["", "file"])
def test_an_entry_that_is_a_link_is_not_used(part: str, tmp_path: Path):
    entry = entry_of(tmp_path / "cache")
    elsewhere = tmp_path / "elsewhere"
    (entry / part).rename(elsewhere)
    (entry / part).symlink_to(elsewhere)
    assert not intact(entry)
    again = cached("kind", "key", maker("second"), tmp_path / "cache")
    assert intact(again) and (again / "file").read_text() == "second"
    assert elsewhere.exists()


def test_a_directory_of_ours_that_was_open_is_closed(tmp_path: Path):
    entry = entry_of(tmp_path)
    entry.parent.chmod(0o777)
    assert not intact(entry)
    assert (cached("kind", "key", maker("second"), tmp_path) / "file").read_text() == "first"
    assert entry.parent.stat().st_mode & 0o777 == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_directory_of_another_owner_is_refused(tmp_path: Path):
    entry = entry_of(tmp_path)
    os.chown(entry.parent, 12345, -1)
    with pytest.raises(ToolError, match=r"kind can be written by others: set INTAGLIO_CACHE"):
        cached("kind", "key", maker("second"), tmp_path)


def test_entries_are_closed_whatever_the_umask(tmp_path: Path):
    before = os.umask(0)
    try:
        entry_of(tmp_path)
    finally:
        os.umask(before)


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path):
    home, victim = tmp_path / "cache" / "kind", tmp_path / "victim"
    home.mkdir(parents=True)
    victim.write_text("precious")
    (home / "key.lock").symlink_to(victim)
    with pytest.raises(ToolError, match=r"a lock that is a link is not followed: remove it.*key\.lock"):
        cached("kind", "key", maker(), tmp_path / "cache")
    (home / "key.lock").unlink()
    (home / "key.lock").symlink_to(tmp_path / "nothing")
    with pytest.raises(ToolError, match="not followed"):
        cached("kind", "key", maker(), tmp_path / "cache")
    assert victim.read_text() == "precious" and not (tmp_path / "nothing").exists()


_KILLED = """
import sys, time
from pathlib import Path
from intaglio.hardware.cache import cached
def make(work):
    (work / "half").write_text("x")
    print("started", flush=True)
    time.sleep(600)
cached("kind", sys.argv[2], make, Path(sys.argv[1]))
"""


def test_what_killed_builders_left_is_swept_and_what_is_being_built_is_not(tmp_path: Path):
    builders = {
        key: subprocess.Popen([sys.executable, "-c", _KILLED, str(tmp_path), key], stdout=subprocess.PIPE, text=True)
        for key in ("dead", "alive")
    }
    try:
        for builder in builders.values():
            assert builder.stdout is not None and builder.stdout.readline() == "started\n"
        builders["dead"].send_signal(signal.SIGKILL)
        builders["dead"].wait()
        (tmp_path / "kind" / ".building-older").mkdir()  # of a version that took another name
        entry_of(tmp_path)
        assert [p.name for p in (tmp_path / "kind").glob(".building-*")] == [".building-alive"]
        assert (tmp_path / "kind" / ".building-alive" / "half").read_text() == "x"
    finally:
        for builder in builders.values():
            builder.kill()
            builder.communicate()
    assert (cached("kind", "alive", maker("whole"), tmp_path) / "file").read_text() == "whole"
    assert list((tmp_path / "kind").glob(".building-*")) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, OSError(28, "No space left on device"), ToolError])
def test_however_a_build_ends_nothing_is_left(error: type[BaseException] | OSError, tmp_path: Path):
    def fail(work: Path) -> None:
        (work / "half").write_text("x")
        raise error

    with pytest.raises((KeyboardInterrupt, SystemExit, ToolError)):
        cached("kind", "key", fail, tmp_path)
    assert [p.name for p in (tmp_path / "kind").iterdir()] == ["key.lock"]


def test_an_entry_that_cannot_be_used_is_made_again_once(tmp_path: Path):
    made: list[int] = []

    def make(work: Path) -> None:
        made.append(1)
        (work / "file").write_text(f"{len(made)}")

    def load(entry: Path, least: int) -> str:
        text = (entry / "file").read_text()
        if int(text) < least:
            raise ToolError("too old")
        return text

    assert loaded("kind", "key", make, lambda entry: load(entry, 1), tmp_path) == "1"
    assert loaded("kind", "key", make, lambda entry: load(entry, 2), tmp_path) == "2"
    with pytest.raises(ToolError, match="too old"):
        loaded("kind", "key", make, lambda entry: load(entry, 9), tmp_path)
    assert len(made) == 3


def test_a_library_that_cannot_be_loaded_is_built_again(tmp_path: Path):
    rtl, cache = stage(tmp_path / "design"), tmp_path / "copy"
    build(rtl, "cxxrtl", tmp_path / "cache")
    shutil.copytree(tmp_path / "cache", cache)  # of another path, so that this process has not loaded it
    (library,) = (cache / "simulators").glob("*/dut.so")
    library.unlink()
    library.write_bytes(b"\x7fELF and nothing else")
    (library.parent / MANIFEST).write_text(json.dumps({library.name: file_key(library)}))
    assert intact(library.parent)
    build(rtl, "cxxrtl", cache)
    assert intact(library.parent) and library.stat().st_size > 10_000


def test_without_a_home_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def nobody(_: int) -> None:
        raise KeyError("no such user")

    monkeypatch.setattr("pwd.getpwuid", nobody)
    for name in ("HOME", "INTAGLIO_CACHE", "XDG_CACHE_HOME", "YOWASP_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ToolError, match="no home directory for the cache: set INTAGLIO_CACHE"):
        cache_root()
    monkeypatch.setenv("INTAGLIO_CACHE", str(tmp_path))
    assert cache_root() == tmp_path


def test_waiting_for_another_builder_can_be_interrupted(tmp_path: Path):
    first = subprocess.Popen([sys.executable, "-c", _KILLED, str(tmp_path), "key"], stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None and first.stdout.readline() == "started\n"
    second = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(tmp_path), "key"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, preexec_fn=in_the_foreground,
    )
    try:
        wait_until(lambda: _waits_for_a_lock(second.pid))
        second.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in second.communicate()[1] and second.returncode != 0
    finally:
        for process in (first, second):
            process.kill()
            process.communicate()


def _waits_for_a_lock(pid: int) -> bool:
    return any(f" {pid} " in line for line in Path("/proc/locks").read_text().splitlines() if "->" in line)


@pytest.mark.parametrize("manifest", [
    b"[" * 100_000, b'{"file":' * 100_000, b"9" * 5000, b"\xff", b"null", b"[]", b'{"file": NaN}',
])  # fmt: skip
def test_an_entry_whose_manifest_is_none_is_made_again(manifest: bytes, tmp_path: Path):
    entry = entry_of(tmp_path)
    (entry / MANIFEST).write_bytes(manifest)
    entry_of(tmp_path, "second")
