"""Results of slow tools, kept by content hash: atomic, safe against kill -9, parallel callers and other users.

An entry is a directory `<root>/<kind>/<key>/` with a `manifest.json` that lists the SHA-256 of every other
file in it. It is built under a temporary name and renamed, so an entry either exists whole or not at all; one
whose files do not match its manifest, that somebody else could have written, or that cannot be used, is rebuilt.
Who holds the lock `<key>.lock` owns `.building-<key>`: what nobody holds was left behind by a kill.
"""

import json
import os
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from intaglio.errors import ToolError
from intaglio.files import file_key, locked, no_room, trusted
from intaglio.reading import parse_json

MANIFEST = "manifest.json"
_BUILDING = ".building-"
_OTHERS = 0o022  # write permission of group and others

Loaded = TypeVar("Loaded")


def cache_root(cache: Path | None = None) -> Path:
    """The cache directory: the argument, else `$INTAGLIO_CACHE`, else `~/.cache/intaglio`; ToolError without a home."""
    named = cache or os.environ.get("INTAGLIO_CACHE")
    if named:
        return Path(named).absolute()
    try:
        return Path.home() / ".cache" / "intaglio"
    except RuntimeError:
        raise ToolError("there is no home directory for the cache: set INTAGLIO_CACHE to a directory") from None


def cached(kind: str, key: str, make: Callable[[Path], None], cache: Path | None = None) -> Path:
    """Directory of the entry `key`, filled by `make(directory)` when there is none, or a damaged one.

    A second caller of the same key waits for the first. Raises ToolError when the cache cannot be written.
    """
    return loaded(kind, key, make, lambda entry: entry, cache)


def loaded(
    kind: str, key: str, make: Callable[[Path], None], load: Callable[[Path], Loaded], cache: Path | None = None
) -> Loaded:
    """`load(directory)` of the entry `key`, as `cached`; `load` raises ToolError for one that cannot be used.

    An existing entry that cannot be used is rebuilt, once.
    """
    home = cache_root(cache) / kind
    entry = home / key
    with suppress(ToolError):
        if intact(entry):
            return load(entry)
    with _disk_errors(home):
        _prepare(home)
        with locked(home / f"{key}.lock"):
            with suppress(ToolError):
                if intact(entry):  # another caller has made it
                    return load(entry)
            _build(home, entry, make)
    return load(entry)


def intact(entry: Path) -> bool:
    """Whether `entry` holds exactly the files its manifest promises, and nobody else can have written them."""
    try:
        parts = [entry.parent, entry, *entry.rglob("*")]
        promised = parse_json((entry / MANIFEST).read_text(encoding="utf-8"), MANIFEST)
        return bool(promised) and all(map(trusted, parts)) and promised == _checksums(entry)
    except (OSError, ValueError):
        return False


def _checksums(directory: Path) -> dict[str, str]:
    files = sorted(p for p in directory.rglob("*") if p.is_file() and p.name != MANIFEST)
    return {str(p.relative_to(directory)): file_key(p) for p in files}


def _prepare(home: Path) -> None:
    """Make the directory of a kind, ours and closed to others; remove what was left behind, of any kind."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if home.lstat().st_uid == os.geteuid() and not home.is_symlink():
        _close(home)
    if not trusted(home):
        raise ToolError(f"the cache {home} can be written by others: set INTAGLIO_CACHE to a directory of your own")
    for left in home.parent.glob(f"*/{_BUILDING}*"):
        _sweep(left, left.with_name(f"{left.name.removeprefix(_BUILDING)}.lock"))


def _close(path: Path) -> None:
    mode = path.stat().st_mode
    if mode & _OTHERS:
        path.chmod(mode & ~_OTHERS & 0o7777)


def _sweep(left: Path, lock: Path) -> None:
    """Remove a directory that is not being built any more."""
    with suppress(BlockingIOError):  # its builder is at work
        try:
            with locked(lock, wait=False, create=False):
                shutil.rmtree(left, ignore_errors=True)
        except FileNotFoundError:
            shutil.rmtree(left, ignore_errors=True)


def _build(home: Path, entry: Path, make: Callable[[Path], None]) -> None:
    """Make an entry; the caller holds its lock. However this ends, nothing half done is left."""
    work = home / f"{_BUILDING}{entry.name}"
    try:
        _remove(work)
        work.mkdir(mode=0o700)
        make(work)
        (work / MANIFEST).write_text(json.dumps(_checksums(work), indent=1), encoding="utf-8")
        for path in work.rglob("*"):
            _close(path)
        _remove(entry)
        work.rename(entry)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _remove(path: Path) -> None:
    """Remove what is at `path`: a directory, a file or a link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _disk_errors(home: Path) -> Generator[None, None, None]:
    try:
        yield
    except OSError as error:
        reason = no_room(error)
        if reason:
            raise ToolError(f"the cache {home} cannot be written, {reason} or set INTAGLIO_CACHE") from error
        raise ToolError(
            f"the cache {home} cannot be used ({error}): set INTAGLIO_CACHE to a writable directory"
        ) from error
