"""Results of slow tools, kept by content hash: atomic, safe against kill -9 and parallel callers.

An entry is a directory `<root>/<kind>/<key>/` with a `manifest.json` that lists the SHA-256 of every other
file in it. It is built under a temporary name and renamed, so an entry either exists whole or not at all; one
whose files do not match its manifest is rebuilt.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from intaglio.ir.errors import ToolError

MANIFEST = "manifest.json"
_STALE_SECONDS = 86_400.0
_FULL = (errno.ENOSPC, errno.EDQUOT)


def cache_root(cache: Path | None = None) -> Path:
    """The cache directory: the argument, else `$INTAGLIO_CACHE`, else `~/.cache/intaglio`."""
    if cache is not None:
        return Path(cache).absolute()
    named = os.environ.get("INTAGLIO_CACHE")
    return Path(named).absolute() if named else Path.home() / ".cache" / "intaglio"


def digest(*parts: object) -> str:
    """SHA-256 (hex) over the parts; a part is bytes, or anything whose `repr` is its content."""
    total = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else repr(part).encode()
        total.update(len(data).to_bytes(8, "little"))
        total.update(data)
    return total.hexdigest()


def cached(kind: str, key: str, make: Callable[[Path], None], cache: Path | None = None) -> Path:
    """Directory of the entry `key`, filled by `make(directory)` when there is none, or a damaged one.

    A second caller of the same key waits for the first. Raises ToolError when the cache cannot be written.
    """
    home = cache_root(cache) / kind
    entry = home / key
    if intact(entry):
        return entry
    with _disk_errors(home):
        home.mkdir(parents=True, exist_ok=True)
        with _locked(home / f"{key}.lock"):
            if not intact(entry):
                _build(home, entry, make)
    return entry


def intact(entry: Path) -> bool:
    """Whether `entry` holds exactly the files its manifest promises."""
    try:
        promised = json.loads((entry / MANIFEST).read_text(encoding="utf-8"))
        return bool(promised) and promised == _checksums(entry)
    except (OSError, ValueError):
        return False


def _checksums(directory: Path) -> dict[str, str]:
    files = sorted(p for p in directory.rglob("*") if p.is_file() and p.name != MANIFEST)
    return {str(p.relative_to(directory)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _build(home: Path, entry: Path, make: Callable[[Path], None]) -> None:
    _sweep(home)
    work = Path(tempfile.mkdtemp(prefix=".building-", dir=home))
    try:
        make(work)
        (work / MANIFEST).write_text(json.dumps(_checksums(work), indent=1), encoding="utf-8")
        if entry.exists():
            shutil.rmtree(entry)
        work.rename(entry)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _sweep(home: Path) -> None:
    """Remove what builds that were killed left behind."""
    for left in home.glob(".building-*"):
        try:
            if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
        except OSError:
            continue


@contextmanager
def _locked(path: Path) -> Generator[None, None, None]:
    """An exclusive lock on `path`; the kernel drops it when the process dies."""
    with path.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _disk_errors(home: Path) -> Generator[None, None, None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise ToolError(
                f"the disk of the cache {home} is full: free some space or set INTAGLIO_CACHE"
            ) from error
        raise ToolError(
            f"the cache {home} cannot be used ({error}): set INTAGLIO_CACHE to a writable directory"
        ) from error
