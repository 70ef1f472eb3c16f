"""A part of the fuzzer's seeds, another one every day. Records of the whole runs: benchmarks/results/fuzz*.json."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from support import fuzz

RECORDED = 630
PER_DAY = 8
TODAY = datetime.now(UTC).date().toordinal() * PER_DAY


@pytest.mark.parametrize("kind", fuzz.KINDS)
@pytest.mark.parametrize("seed", [(TODAY + i) % RECORDED for i in range(PER_DAY)])
def test_random(kind: str, seed: int, tmp_path: Path) -> None:
    outcome = fuzz.KINDS[kind](seed, tmp_path)
    assert not outcome.problems
    if not outcome.skipped:
        assert outcome.latency[0] == outcome.latency[1]
        assert outcome.interval[0] == outcome.interval[1]
