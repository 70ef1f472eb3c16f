"""A part of the fuzzer's seeds, another one every day. Records of the whole runs: benchmarks/results/fuzz*.json."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from support import fuzz

RECORDED = 630
PER_DAY = 8
TODAY = datetime.now(UTC).date().toordinal() * PER_DAY


# 310: thresholds that no true sum reaches, behind sums that exceed the true ones; 342: outputs all below zero
@pytest.mark.parametrize("seed", [310, 342])
def test_found_before(seed: int, tmp_path: Path) -> None:
    outcome = fuzz.network(seed, tmp_path, gates=False)
    assert not outcome.problems and not outcome.skipped


@pytest.mark.parametrize("kind", fuzz.KINDS)
@pytest.mark.parametrize("seed", [(TODAY + i) % RECORDED for i in range(PER_DAY)])
def test_random(kind: str, seed: int, tmp_path: Path) -> None:
    outcome = fuzz.KINDS[kind](seed, tmp_path)
    assert not outcome.problems
    if not outcome.skipped:
        assert outcome.latency[0] == outcome.latency[1]
        assert outcome.interval[0] == outcome.interval[1]
