"""How files are read: as bytes, text, JSON, YAML or what gzip unpacks, in time and memory in proportion to their size.

A file may come from anywhere. What it cannot make of us: a traceback, a hang, or more memory than a multiple of its
own size. Text is UTF-8 whatever the locale says.
"""

import gzip
import io
import json
import zlib
from collections import Counter
from pathlib import Path
from typing import Any, cast

import yaml

from intaglio.ir.errors import DataError, IntaglioError, shown

MOST_YAML = 1 << 18
"""Characters of a YAML text; the parser takes a second for 100,000."""

MOST_NODES = 1 << 16
"""Values of a YAML text after its aliases were written out."""

MOST_DIGITS = 1000
"""Characters of an integer in a YAML text; one in base 60 takes the square of their number to read."""

_INTEGER = "tag:yaml.org,2002:int"
_MOST_STREAM = 1 << 28
_PIECE = 1 << 20
_RATIO, _FLOOR = 100, 1 << 26
"""gzip may unpack to `_RATIO` times its size, and always to `_FLOOR` bytes; real data stay below 20 times."""


def read_bytes(path: Path, error: type[IntaglioError] = DataError, remedy: str = "give the path of a file") -> bytes:
    """A file's bytes; `error` when it cannot be read, or a pipe or device gives more than `_MOST_STREAM`."""
    try:
        with path.open("rb") as file:
            data = file.read(-1 if path.is_file() else _MOST_STREAM + 1)
    except (OSError, ValueError) as reason:  # ValueError: a path with a NUL
        said = reason.strerror if isinstance(reason, OSError) else reason
        raise error(f"{path}: cannot be read ({said}); {remedy}") from reason
    if len(data) > _MOST_STREAM and not path.is_file():
        raise error(f"{path}: is no file and gives more than {_MOST_STREAM} bytes; {remedy}")
    return data


def read_text(path: Path, error: type[IntaglioError] = DataError, remedy: str = "give the path of a file") -> str:
    """A file's text, UTF-8 with or without a byte order mark; `error` names the first byte that is not UTF-8."""
    data = read_bytes(path, error, remedy)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as reason:
        place = f"byte {reason.start} (0x{data[reason.start]:02x})"
        raise error(f"{path}: {place} is not UTF-8; save the file as UTF-8") from reason


def parse_json(text: str, where: str) -> Any:
    """Plain data of a JSON text; DataError for anything else, NaN and infinity among it."""

    def constant(name: str) -> Any:
        raise DataError(f"{where} holds {name}, which JSON does not have: write a number or null")

    try:
        return json.loads(text, parse_constant=constant)
    except DataError:
        raise
    except RecursionError:
        raise DataError(f"{where} is nested too deeply to be read: write it flat") from None
    except ValueError as error:  # not JSON, or an integer of more digits than Python reads
        raise DataError(f"{where} is not JSON: {error}") from None


def parse_yaml(text: str, where: str, error: type[IntaglioError]) -> Any:
    """Plain data of a YAML text; `error` for anything else, and where aliases would make too much of it."""
    if len(text) > MOST_YAML:
        raise error(f"{where} has {len(text)} characters, more than {MOST_YAML}: say the same with fewer")
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            return None
        _check_yaml(root, where, error)
        return cast(Any, loader).construct_document(root)
    except RecursionError:
        raise error(f"{where} is nested too deeply to be read: write it flat") from None
    except (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as reason:
        if isinstance(reason, IntaglioError):
            raise
        raise error(f"{where}: not YAML: {reason}") from None


def _check_yaml(root: yaml.Node, where: str, error: type[IntaglioError]) -> None:
    """Text and numbers only, no key twice, no alias inside its own value, and at most `MOST_NODES` values in all."""
    sizes: dict[int, int | None] = {}

    def size(node: yaml.Node) -> int:
        known = sizes.get(id(node), 0)
        if known is None:
            raise error(f"{where}: an alias stands for a value that holds the alias itself: write the value out")
        if known:
            return known
        sizes[id(node)] = None
        total = 1 + sum(map(size, _parts(node, where, error)))
        if total > MOST_NODES:
            raise error(f"{where} makes more than {MOST_NODES} values of its aliases: write them out")
        sizes[id(node)] = total
        return total

    size(root)


def _parts(node: yaml.Node, where: str, error: type[IntaglioError]) -> list[yaml.Node]:
    """The values in a node, keys among them."""
    if isinstance(node, yaml.ScalarNode):
        node.value.encode()  # an escape may make what is no text
        if node.tag == _INTEGER and len(node.value) > MOST_DIGITS:
            line, digits = node.start_mark.line + 1, len(node.value)
            raise error(f"{where}: not YAML: the integer of line {line} has {digits} digits, more than {MOST_DIGITS}")
    if isinstance(node, yaml.MappingNode):
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<")
        twice = [key for key, count in keys.items() if count > 1]
        if twice:
            line = node.start_mark.line + 1
            raise error(f"{where}: {shown(twice[0])} stands twice in the mapping of line {line}: keep one")
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def gunzip(data: bytes, where: str, most: int | None = None) -> bytes:
    """What gzip packed; of that at most the first `most` bytes, where only these are wanted.

    Raises DataError when the stream is damaged, cut off, or unpacks to more than `_RATIO` times its size.
    """
    limit = max(_RATIO * len(data), _FLOOR)
    wanted = limit + 1 if most is None else min(most, limit + 1)
    pieces, total = list[bytes](), 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            while total < wanted and (piece := stream.read(min(_PIECE, wanted - total))):
                pieces.append(piece)
                total += len(piece)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(
            f"{where}: the gzip stream is damaged or truncated at {len(data)} bytes ({error}); fetch the file again"
        ) from error
    if total > limit:
        raise DataError(f"{where}: gzip makes more than {limit} bytes of {len(data)}: unpack the file first")
    return b"".join(pieces)
