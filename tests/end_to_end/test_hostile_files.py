"""A part of the damaged files of `benchmarks/hostile_files.py`, another one every day; the record has all of them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks import hostile_files

PER_DAY = 240
TODAY = datetime.now(UTC).date().toordinal() * PER_DAY


def test_a_part_of_the_damaged_files(tmp_path: Path) -> None:
    numbers = [(TODAY + i) % hostile_files.COUNT for i in range(PER_DAY)]
    found = {number: hostile_files.one(number, tmp_path) for number in numbers}
    assert {number: out for number, out in found.items() if out.what not in ("right", "refused")} == {}
    assert {out.reader for out in found.values()} == set(hostile_files.READERS)


def test_what_is_wrong_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers that read something else, and that fail in another way than ours."""
    monkeypatch.setattr(hostile_files, "READERS", {"graph": hostile_files.READERS["graph"]})
    graphs = iter([hostile_files._graph(0), hostile_files._graph(1)])
    monkeypatch.setattr(hostile_files, "damaged_text", lambda random, text: text.encode())
    monkeypatch.setattr(hostile_files.Graph, "parse", lambda text: next(graphs))
    assert "prints as another one" in hostile_files.one(0, tmp_path).what

    def fails(text: str) -> None:
        raise KeyError("lost")

    monkeypatch.setattr(hostile_files.Graph, "parse", fails)
    assert "KeyError" in hostile_files.block(0, 1, tmp_path, tmp_path / "mark")["problems"]["0"]


def test_a_run_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostile_files, "BLOCK", 12)
    log = tmp_path / "log.jsonl"
    whole = hostile_files._run(24, log)
    log.write_text(log.read_text(encoding="utf-8").splitlines()[0] + '\n{"first": 12, "cou', encoding="utf-8")
    again = hostile_files._run(24, log)
    assert [record["counts"] for record in again] == [record["counts"] for record in whole] and len(again) == 2
