"""The fuzzer is worth something: it sees a bug planted in each of rounding, padding, stall handling, sign extension.

Every bug is one textual change in a copy of the RTL library. The untouched copy passes on the same seeds.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import fuzz

import intaglio.hardware.emit as emit_module
from intaglio.hardware import actors
from intaglio.hardware.units.matmul import Accumulate

DENSE, PADDED, DEEP = 33, 1, 10  # one dense layer; one padded convolution; dense layers, several beats per sum


@dataclass(frozen=True)
class Bug:
    """`text` of `module` becomes `wrong`; the network of `seed` shows it under the named conditions."""

    module: str
    text: str
    wrong: str
    seed: int
    seen_in: str = ""


BUGS = {
    "rounding: towards zero instead of down": Bug(
        "ig_requantize",
        "assign r = RBits'(sum >>> SHIFT);",
        "assign r = RBits'((sum + (sum < 0 ? (SumBits'(1) <<< SHIFT) - 1'b1 : '0)) >>> SHIFT);",
        PADDED,
    ),
    "padding: one column too few": Bug(
        "ig_ring",
        "assign outside_x = column_i >= COLUMN_BITS'(ROW_WORDS);",
        "assign outside_x = column_i > COLUMN_BITS'(ROW_WORDS);",
        PADDED,
    ),
    "padding: zeros whatever the pad value": Bug(
        "ig_ring", "{LANES{BITS'(PAD_VALUE)}}", "{LANES{BITS'(0)}}", PADDED
    ),
    "stall handling: a beat is dropped when the sink is not ready": Bug(
        "ig_fifo", "assign pop  = valid_o && ready_i;", "assign pop  = valid_o;", DENSE, "stall"
    ),
    "sign extension: sums are extended with zeros": Bug(
        "ig_accumulate",
        "assign sum[p] = ACC_BITS'(signed'(data_i[p*IN_BITS+:IN_BITS]));",
        "assign sum[p] = ACC_BITS'(data_i[p*IN_BITS+:IN_BITS]);",
        DEEP,
    ),
}


def problems(seed: int, directory: Path) -> tuple[str, ...]:
    """What the fuzzer reports on one seed."""
    return fuzz.graph(seed, directory, cxxrtl=False).problems


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the RTL library, which emitted designs use."""
    copy = tmp_path / "library"
    shutil.copytree(emit_module.LIBRARY, copy)
    monkeypatch.setattr(emit_module, "LIBRARY", copy)
    return copy


@pytest.mark.parametrize("seed", [DENSE, PADDED, DEEP])
def test_the_untouched_library_passes(seed: int, library: Path, tmp_path: Path) -> None:
    assert problems(seed, tmp_path / "design") == ()


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name: str, library: Path, tmp_path: Path) -> None:
    bug = BUGS[name]
    path = library / f"{bug.module}.sv"
    source = path.read_text()
    assert source.count(bug.text) == 1, f"{bug.module} was changed: plant the bug anew"
    path.write_text(source.replace(bug.text, bug.wrong))
    found = problems(bug.seed, tmp_path / "design")
    assert found
    assert any("differ" in text or "violat" in text or "finish" in text for text in found)
    # A bug in stall handling is one that nothing but stalls and resets can show.
    assert all(bug.seen_in in text or "resets" in text for text in found)


def test_a_cycle_model_that_is_one_off_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Accumulate.latency.fget
    monkeypatch.setattr(Accumulate, "latency", property(lambda stage: right(stage) + 1))
    found = problems(DENSE, tmp_path)
    assert found and not any("outputs differ" in text for text in found)
    assert any("latency modelled" in text for text in found)


def test_a_cycle_model_with_a_row_too_many_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = actors.Collect.__init__

    def wrong(self: actors.Collect, source: object, out: object, size: int, depth: int, gate: int, **rest: int) -> None:
        ring = gate == 0 and rest["lag"] == 0  # the rows that a window holds
        right(self, source, out, size, depth=depth + ring, gate=gate, **rest)

    monkeypatch.setattr(actors.Collect, "__init__", wrong)
    found = problems(PADDED, tmp_path)
    assert any("first beats modelled" in text for text in found) and not any("outputs differ" in text for text in found)
