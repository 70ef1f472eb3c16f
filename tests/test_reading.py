"""Files as bytes, text, JSON, YAML and gzip: right, or an error of ours, at a cost in proportion to their size."""

import gzip
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from intaglio import reading
from intaglio.datasets import read_idx
from intaglio.ir.errors import DataError, RecipeError, shown
from intaglio.reading import gunzip, parse_json, parse_yaml, read_text


def yaml(text):
    return parse_yaml(text, "the text", RecipeError)


def test_text_is_utf_8(tmp_path):
    path = tmp_path / "größe"
    for data in ("größe".encode(), "größe".encode("utf-8-sig")):
        path.write_bytes(data)
        assert read_text(path) == "größe"
    for data in ("größe".encode("latin-1"), "größe".encode("utf-16"), b"\xff"):
        path.write_bytes(data)
        with pytest.raises(DataError, match=r"größe: byte \d+ \(0x.*not UTF-8; save the file as UTF-8"):
            read_text(path)


@pytest.mark.parametrize("name", ["gone", ".", "a\0b", "a" * 300])
def test_what_is_no_file(tmp_path, name):
    with pytest.raises(RecipeError, match=r"cannot be read .*set that"):
        read_text(tmp_path / name, RecipeError, "set that")


def test_text_is_utf_8_under_another_locale(tmp_path):
    """A name and a data file beyond ASCII, in an interpreter whose own encoding is ASCII."""
    path = tmp_path / "recipe.yaml"
    path.write_text("name: größe\nmodel: digits\n", encoding="utf-8")
    program = (
        "import locale, sys; from pathlib import Path; from intaglio.run.job import load_job; "
        "from intaglio.measure import RunFolder; folder = RunFolder(Path(sys.argv[1]).parent); "
        "name = load_job(Path(sys.argv[1])).name; folder.write('graph.txt', name); "
        "print(locale.getpreferredencoding(False), ascii(name))"
    )
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], env=plain, capture_output=True, encoding="utf-8", check=True
    )
    assert done.stdout.split() == ["ANSI_X3.4-1968", ascii("größe")]
    assert (tmp_path / "graph.txt").read_bytes() == "größe".encode()


@pytest.mark.parametrize("text", [
    "", "{", "NaN", "[Infinity]", '{"a": -Infinity}', "[" * 100_000, '{"a":' * 100_000, "9" * 10_000, "\ufeff[]",
    '{"a": 1}}', "\x00",
])  # fmt: skip
def test_what_is_not_json(text):
    with pytest.raises(DataError, match="the text "):
        parse_json(text, "the text")


def test_json_and_yaml_as_they_are_meant():
    assert parse_json('{"a": [1, 2.5, null, "ü"]}', "the text") == {"a": [1, 2.5, None, "ü"]}
    assert yaml("a: [1, 2.5, null, ü]") == {"a": [1, 2.5, None, "ü"]} and yaml("") is None
    assert yaml("a: &t {b: 1}\nc: *t\nd: {<<: *t, e: 2}") == {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}}


LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30))
MERGED = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 40))


@pytest.mark.parametrize(("text", "words"), [
    (LAUGHS, "aliases"), (MERGED, "aliases"), ("a: &a [*a]", "holds the alias itself"), ("[" * 20_000, "nested"),
    ("- " * 20_000, "nested"), ("a: " + "9" * 5000, "not YAML"), ("a: 2024-13-45", "not YAML"),
    ("a: 1" + ":59" * 400 + ".5", "not YAML"), ("a: !!python/object:os.system x", "not YAML"), ("a: b: c", "line 1"),
    ("x" * (reading.MOST_YAML + 1), "more than"), ("a: 1\nb: 2\na: 3", "'a' stands twice"),
    ("a: 1\n---\nb: 2", "not YAML"), ("a: \0", "not YAML"),
    ("? 0x" + "f" * 5000 + "\n: 1", "the integer of line 1 has 5002 digits"),
    ("a: 1" + ":1" * 100_000, "has 200001 digits"), ('a: "\\ud800"', "not YAML"),
    *((f"a: !!{tag}", "not YAML") for tag in ("bool x", "timestamp x", 'int ""', "int _", 'float ""')),
])  # fmt: skip
def test_what_is_not_yaml_of_ours(text, words):
    with pytest.raises(RecipeError, match=f"(?s)the text.*{words}"):
        yaml(text)


def test_values_in_messages_are_short():
    assert shown([1, "a"]) == "[1, 'a']"
    assert len(shown("x" * 10**6)) < 150 and shown(1 << 10**5) == "a int too large to show"


def test_gzip_as_much_as_is_wanted(monkeypatch):
    data = bytes(range(256)) * 100
    packed = gzip.compress(data)
    assert gunzip(packed, "it") == data and gunzip(packed, "it", 300) == data[:300]
    assert gunzip(gzip.compress(data[:9]) + gzip.compress(data[9:]), "it") == data
    monkeypatch.setattr(reading, "_FLOOR", 1000)
    with pytest.raises(DataError, match="it: gzip makes more than"):
        gunzip(gzip.compress(bytes(10**6)), "it")
    for wrong in (packed[:-9], packed[:40] + b"xxxx" + packed[44:], packed[:-3] + b"abc", packed + b"abc"):
        with pytest.raises(DataError, match="it: the gzip stream is damaged or truncated"):
            gunzip(wrong, "it")


def header(*sizes):
    return bytes([0, 0, 8, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes)


@pytest.mark.parametrize(("content", "words"), [
    (header(10**9, 28, 28), "expected 784000000016 bytes"),
    (gzip.compress(header(10**9, 28, 28) + bytes(2 << 20)), "expected 784000000016 bytes.*found 2097168"),
    (gzip.compress(header(2, 2) + bytes(1 << 24)), "expected 16 bytes.*found more"),
    (gzip.compress(header(1 << 28) + bytes(1 << 28)), "gzip makes more than"),
    (bytes([0, 0, 8, 200]) + bytes(800), "200 axes"),
    (header(0, 2**32 - 1, 2**32 - 1, 2**32 - 1), "holds nothing"),
])  # fmt: skip
def test_a_header_that_promises_too_much(tmp_path, content, words):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_idx(tmp_path / "a")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no device that never ends")
def test_a_device_that_never_ends(monkeypatch):
    monkeypatch.setattr(reading, "_MOST_STREAM", 1 << 16)
    with pytest.raises(DataError, match="/dev/zero: is no file and gives more than 65536 bytes"):
        read_text(Path("/dev/zero"))
    assert read_text(Path("/dev/null")) == ""
