"""A carved design as files: SystemVerilog sources, memory contents, and what its two streams carry."""

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from intaglio.files import content_key, file_key
from intaglio.ir.errors import ShapeError, ToolError

_MEMORY_NAME = re.compile(r".+_([0-9a-f]{16})\.mem")
_COMMENT = re.compile(r"//[^\n]*")
_MEMORY = re.compile(r'"([^"\n]+\.mem)"')
_REMEDY = "write the design again with emit()"

Ints = NDArray[np.int64]
Words = NDArray[np.uint32]


@dataclass(frozen=True)
class StreamSpec:
    """One stream: `beats` beats per frame of `lanes` integers of `bits` bits; lane 0 has the lowest bits.

    The names of its ports begin with `prefix`.
    """

    lanes: int
    bits: int
    signed: bool
    beats: int
    prefix: str = ""

    @property
    def width(self) -> int:
        """Bits of the data port."""
        return self.lanes * self.bits

    @property
    def words(self) -> int:
        """32-bit words per beat."""
        return -(-self.width // 32)


@dataclass(frozen=True)
class Rtl:
    """A design on disk: `sources` in dependency order, and `memories`, which lie in `directory`.

    The sources name the memories by their bare file name, so every tool runs with `directory` (or a copy
    of it) as its working directory.
    """

    directory: Path
    top: str
    sources: tuple[Path, ...]
    inputs: tuple[StreamSpec, ...]
    outputs: tuple[StreamSpec, ...]
    memories: tuple[Path, ...] = ()

    def check(self) -> None:
        """Raise ToolError unless every file is there and every memory has the content its name promises."""
        for path in self.sources:
            if not path.is_file():
                raise ToolError(f"source file {path} is missing: {_REMEDY}")
        for path in self.memories:
            _check_memory(path, self.directory)
        known = {path.name for path in self.memories}
        for path in self.sources:
            text = path.read_text(encoding="utf-8", errors="replace")
            for name in _MEMORY.findall(_COMMENT.sub("", text)):
                if name not in known:
                    raise ToolError(f"{path} reads memory file {name}, which the design does not hold: {_REMEDY}")

    def bound(self, technology: str) -> "Rtl":
        """The same design with the modules that are written for a technology, a family of devices: the file of that
        name in the folder `technology` beside a source takes its place, and brings the files there that it needs.
        They compute the same, of cells that only that family has (rtl/README.md), so they are for its synthesis, not
        for simulation.
        """
        sources: list[Path] = []
        for path in self.sources:
            special = path.parent / technology / path.name
            if special.is_file():
                text = special.read_text(encoding="utf-8")
                parts = (special.parent / f"{name}.sv" for name in re.findall(r"\b(ig_\w+) *#\(", text))
                sources += [part for part in parts if part.is_file() and part not in sources]
            sources.append(special if special.is_file() else path)
        return replace(self, sources=tuple(dict.fromkeys(sources)))

    def digest(self) -> str:
        """SHA-256 (hex) of all that decides what the design does: streams, sources, memories."""
        files = [(p.name, file_key(p)) for p in (*self.sources, *self.memories)]
        return content_key(self.top, self.inputs, self.outputs, files)


def memory_name(role: str, text: str) -> str:
    """Content-addressed file name: `<role>_<first 16 hex digits of the text's SHA-256>.mem`."""
    return f"{role}_{hashlib.sha256(text.encode()).hexdigest()[:16]}.mem"


def _check_memory(path: Path, directory: Path) -> None:
    if path.parent.resolve() != directory.resolve():
        raise ToolError(f"memory file {path} is not in the design's directory {directory}: {_REMEDY}")
    if not path.is_file():
        raise ToolError(f"memory file {path} is missing: {_REMEDY}")
    promised = _MEMORY_NAME.fullmatch(path.name)
    if promised is None:
        raise ToolError(f"memory file {path} is not named <role>_<16 hex digits>.mem: {_REMEDY}")
    found = file_key(path)[:16]
    if found != promised[1]:
        raise ToolError(f"memory file {path} was altered: its content has the hash {found}: {_REMEDY}")


def pack(values: Ints, bits: int) -> Words:
    """(frames, beats, lanes) integers to (frames, beats, words) of the data port, lane 0 lowest.

    Raises ShapeError when a value fits neither signed (two's complement) nor unsigned in `bits` bits.
    """
    values = np.asarray(values, dtype=np.int64)
    if values.size and not -(1 << (bits - 1)) <= int(values.min()) <= int(values.max()) < (1 << bits):
        raise ShapeError(
            f"values {values.min()}..{values.max()} do not fit in {bits} bits: give a wider stream"
        )
    lanes = values.shape[-1]
    words = np.zeros((*values.shape[:-1], -(-lanes * bits // 32)), dtype=np.uint32)
    for lane in range(lanes):
        for low in range(0, bits, 32):
            chunk = (values[..., lane] >> low).astype(np.uint64) & np.uint64((1 << min(32, bits - low)) - 1)
            _insert(words, chunk, lane * bits + low)
    return words


def _insert(words: Words, chunk: NDArray[np.uint64], position: int) -> None:
    """OR a chunk of at most 32 bits into `words` at a bit position."""
    word, shift = divmod(position, 32)
    placed = chunk << np.uint64(shift)
    words[..., word] |= (placed & np.uint64(0xFFFF_FFFF)).astype(np.uint32)
    if word + 1 < words.shape[-1]:
        words[..., word + 1] |= (placed >> np.uint64(32)).astype(np.uint32)


def unpack(words: Words, lanes: int, bits: int, signed: bool) -> Ints:
    """(frames, beats, words) of the data port to (frames, beats, lanes) integers: the inverse of `pack`."""
    values = np.empty((*words.shape[:-1], lanes), dtype=np.int64)
    for lane in range(lanes):
        value = np.zeros(words.shape[:-1], dtype=np.uint64)
        for low in range(0, bits, 32):
            chunk = _extract(words, lane * bits + low, min(32, bits - low))
            value |= chunk << np.uint64(low)
        values[..., lane] = value.astype(np.int64)
    if signed and bits < 64:
        values -= (values >> (bits - 1) & 1) << bits
    return values


def _extract(words: Words, position: int, count: int) -> NDArray[np.uint64]:
    word, shift = divmod(position, 32)
    value = words[..., word].astype(np.uint64)
    if word + 1 < words.shape[-1]:
        value |= words[..., word + 1].astype(np.uint64) << np.uint64(32)
    return (value >> np.uint64(shift)) & np.uint64((1 << count) - 1)
