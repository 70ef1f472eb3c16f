"""The examples run, say what they should, and their recipes pass the checks that a run makes before it trains."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from intaglio.datasets import DATASETS, Dataset, Split
from intaglio.measure import RunFolder, dump
from intaglio.run import steps
from intaglio.run.job import load_job
from intaglio.run.state import State
from tests.report.sample import sample

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
LONGEST = 60

# Arguments that make them quick (`{}` is a scratch folder), and what they print.
SCRIPTS = {
    "01_quantise_digits.py": (["1"], r"float32 .*\n8 bits, .*\n4 bits, .*\n3 bits, .*%\n$"),
    "02_prune_and_compare.py": (["1"], r"(?s)0% zero.*\(dense.*90% zero.*\(sparse"),
    "03_from_torch_to_verilog.py": (["20", "{}"], r"ig_top\.sv: \d+ cycles(?s:.*): 0 of 1000 outputs differ\n$"),
    "04_fold_for_a_budget.py": (["{}"], r"427 more than the budget of 500(?s:.*) (\d+) cycles .*: \1; 0 outputs"),
    "05_read_measurements.py": (["{}"], r"(?s)top1 .*%.*is the hardware the network\? +yes.*simulated: +0\n"),
    "06_exchange_qonnx.py": (["1", "{}"], r"exact: True; outputs that differ: 0 of 3600\nas hardware: \d+ cycles"),
}


def test_every_script_is_listed_numbered_and_short():
    found = sorted(path.name for path in EXAMPLES.glob("*.py"))
    assert found == sorted(SCRIPTS) and [int(name[:2]) for name in found] == list(range(1, len(found) + 1))
    assert {name: lines for name in found if (lines := len((EXAMPLES / name).read_text().splitlines())) > LONGEST} == {}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_runs(name, tmp_path):
    RunFolder(tmp_path).write("measurements.json", dump(sample().measurements))
    arguments, printed = SCRIPTS[name]
    command = [sys.executable, str(EXAMPLES / name), *(argument.format(tmp_path) for argument in arguments)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(printed, done.stdout), done.stdout


@pytest.fixture
def some_mnist(monkeypatch):
    """Noise in the shape of MNIST."""
    generator = torch.Generator().manual_seed(0)

    def noise() -> Dataset:
        split = Split(torch.rand(40, 1, 28, 28, generator=generator), torch.arange(40) % 10)
        return Dataset("mnist", split, split, split, classes=10)

    monkeypatch.setitem(DATASETS, "mnist", noise)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_recipe_passes_the_checks(path, some_mnist, tmp_path):
    job = load_job(path)
    assert job.name == path.stem and job.methods
    steps.check(State(job, RunFolder(tmp_path)))
    assert f"intaglio run examples/{path.name}" in path.read_text()


def test_data_are_found_where_the_recipe_says(monkeypatch, tmp_path):
    monkeypatch.setenv("INTAGLIO_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / "mnist"))):
        steps.check(State(load_job(EXAMPLES / "mnist_lenet5.yaml"), RunFolder(tmp_path)))
