"""A part of the fuzzer's seeds, spread over all. Records of the whole runs: benchmarks/results/fuzz*.json."""

from pathlib import Path

import pytest
from support import fuzz

RECORDED = 630
STEP = 79


@pytest.mark.parametrize("kind", fuzz.KINDS)
@pytest.mark.parametrize("seed", range(0, RECORDED, STEP))
def test_random(kind: str, seed: int, tmp_path: Path) -> None:
    outcome = fuzz.KINDS[kind](seed, tmp_path)
    assert not outcome.problems
    if not outcome.skipped:
        assert outcome.latency[0] == outcome.latency[1]
        assert outcome.interval[0] == outcome.interval[1]
