"""Files that other processes may write, lock or leave half done at the same time: one definition for the whole house.

A file is written whole or not at all. A lock is held by an open file and let go by the kernel however its process
ends, so what is not locked has no owner any more: that is how the leftovers of a kill are known and swept, without
a look at process numbers or times.
"""

import errno
import fcntl
import hashlib
import json
import os
import resource
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from intaglio.errors import IntaglioError

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors of a disk, or of a user's share of one, without room."""

_PART = ".tmp"


def no_room(error: OSError) -> str | None:
    """Why a write failed for want of room, with the remedy; None when it failed for another reason."""
    if error.errno in FULL:
        return "the disk is full: free some space"
    if error.errno == errno.EFBIG:
        return f"the limit on the size of a file ({file_limit() or 'of the file system'}) is reached: raise `ulimit -f`"
    return None


def file_limit() -> str:
    """The limit on the size of the files that this process may write, in words; empty when there is none."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return "" if limit == resource.RLIM_INFINITY else f"{limit} bytes"


@contextmanager
def atomic(path: Path) -> Generator[IO[bytes]]:
    """A file to write `path` into: a part beside it, flushed to the disk and renamed when the block ends well.

    However the block ends, no part is left; only a kill leaves one, for `sweep`. Raises IntaglioError where there is
    no room: what was there before still is.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}{_PART}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        with part.open("xb") as file:  # made here: a link that waits under its name is not followed
            fcntl.flock(file, fcntl.LOCK_EX)  # its own until it is closed: `sweep` leaves it alone
            yield file
            file.flush()
            os.fsync(file.fileno())
            part.replace(path)
    except BaseException as error:
        with suppress(OSError):
            part.unlink()
        reason = no_room(error) if isinstance(error, OSError) else None
        if reason:
            raise IntaglioError(
                f"{reason} and run the same command again; {path} could not be written and is as it was before, "
                "finished steps are kept"
            ) from error
        raise


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all, text as UTF-8; a file that holds `content` already is left alone."""
    data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    if not _holds(path, data):
        with atomic(path) as file:
            file.write(data)


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data
    except OSError:
        return False


def sweep(folder: Path) -> None:
    """Remove the parts below `folder` that writers who were killed left behind."""
    for part in folder.rglob(f".*{_PART}"):
        with suppress(OSError), locked(part, wait=False, create=False):
            part.unlink()


@contextmanager
def locked(path: Path, wait: bool = True, create: bool = True) -> Generator[None]:
    """Hold the lock that the file `path` stands for; the kernel lets go of it when the process ends.

    The file is neither followed when it is a link, nor written to. Raises BlockingIOError when another holds the lock
    and `wait` is False, OSError for a link, and when there is no file and `create` is False.
    """
    flags = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = _opened(path, flags, create)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _opened(path: Path, flags: int, create: bool) -> int:
    try:
        return os.open(path, flags | os.O_RDWR | (os.O_CREAT if create else 0), 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(error.errno, "a lock that is a link is not followed: remove it", str(path)) from None
        if error.errno in (errno.EROFS, errno.EACCES):  # a lock can be held on a file that may only be read
            return os.open(path, flags | os.O_RDONLY)
        raise


def trusted(path: Path) -> bool:
    """Whether nobody else can change a file or directory: it is no link, ours or the system's, closed to others."""
    try:
        found = path.lstat()
    except OSError:
        return False
    kind = stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)
    return kind and found.st_uid in (os.geteuid(), 0) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def readable(path: Path) -> str:
    """A path as text for people: bytes of its name that are not UTF-8 are shown as a question mark in a diamond."""
    return os.fsencode(path).decode("utf-8", "replace")


# --- digests --------------------------------------------------------------------------------------------


def content_key(*parts: object) -> str:
    """SHA-256 (hex) of values, arrays, dataclasses and (Path) file contents: equal parts, equal key."""
    total = hashlib.sha256()
    for part in parts:
        data = _content(part)
        total.update(len(data).to_bytes(8, "little") + data)
    return total.hexdigest()


def _content(part: object) -> bytes:
    if isinstance(part, bytes):
        return part
    if isinstance(part, Path):
        return b"file" + part.read_bytes()
    if isinstance(part, np.ndarray):
        array = cast(np.ndarray[Any, np.dtype[Any]], part)
        return f"array {array.dtype} {array.shape}".encode() + array.tobytes()
    if isinstance(part, dict):  # in whatever order
        return json.dumps(part, sort_keys=True, default=str).encode()
    return repr(part).encode()


def file_key(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
