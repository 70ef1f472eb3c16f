"""Measurements round trip and are checked; a run folder survives kill -9, edits and a full disk."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from intaglio.ir.errors import DataError, IntaglioError
from intaglio.measure import (
    NAMES,
    Measurement,
    RunFolder,
    StepResult,
    code_key,
    content_key,
    dump,
    find,
    load,
    write_atomically,
)

TOP1 = Measurement("demo", "top1", 97.5, "measured", "golden model", n=360, seeds=(0, 1, 2), note="4 bits")
CYCLES = Measurement("demo", "cycles.interval", 1024, "simulated", "verilator 5.048")


def test_records_round_trip_in_the_published_form():
    text = dump([TOP1, CYCLES])
    assert load(text) == (TOP1, CYCLES)
    assert " ".join(json.loads(text)[0]) == "subject name value unit source by n seeds note"
    assert json.loads(text)[0]["unit"] == "%"
    assert load(dump([])) == ()


def test_published_names_are_all_there():
    published = """
        top1 float_top1 perplexity mismatches.torch_graph mismatches.graph_rtl mismatches.graph_netlist
        cycles.latency cycles.interval ops ops.multiply ops.add ops.shift ops.xnor ops.lookup
        storage.float_bits storage.weight_bits storage.side_bits storage.file_bytes compression
        storage.memory_bits compression.memory
        traffic.bytes intensity area.lut area.ff area.dsp area.bram area.um2 fmax_mhz
        throughput.cl_per_s latency.s energy.j_per_cl energy.cl_per_j
    """
    assert set(published.split()) <= set(NAMES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "topp1"}, "did you mean 'top1'"),
        ({"source": "guessed"}, "unknown source 'guessed'"),
        ({"unit": "parts"}, "counted in '%', not in 'parts'"),
        ({"value": float("nan")}, "finite"),
        ({"value": float("inf")}, "finite"),
        ({"by": ""}, "by which tool"),
        ({"valeu": 1}, "unknown key 'valeu'"),
    ],
)
def test_wrong_records_are_refused(change, message):
    with pytest.raises(DataError, match=message):
        Measurement.from_record({**TOP1.record(), **change})


@pytest.mark.parametrize("text", ["{", "{}", "[1]", '[{"name": "top1"}]', '[{"subject": "a"}]'])
def test_wrong_files_are_refused(text):
    with pytest.raises(DataError):
        load(text)


def test_find_by_name_and_source():
    modelled = Measurement("demo", "cycles.interval", 1024, "modelled", "cycle model")
    assert find([TOP1, modelled, CYCLES], "cycles.interval", "simulated") is CYCLES
    assert find([TOP1, modelled, CYCLES], "cycles.interval") is modelled
    assert find([TOP1], "fmax_mhz") is None


def test_keys_follow_content(tmp_path):
    file = tmp_path / "a"
    file.write_text("one")
    base = content_key("x", {"a": 1, "b": 2}, np.arange(3), file, TOP1)
    assert base == content_key("x", {"b": 2, "a": 1}, np.arange(3), file, TOP1)
    assert base != content_key("x", {"a": 1, "b": 2}, np.arange(3, dtype=np.int32), file, TOP1)
    assert content_key("ab", "c") != content_key("a", "bc")
    file.write_text("two")
    assert base != content_key("x", {"a": 1, "b": 2}, np.arange(3), file, TOP1)
    assert code_key("ir") == code_key("ir") != code_key("measure.py")


def test_a_finished_step_is_not_done_again(tmp_path):
    folder, calls = RunFolder(tmp_path), []

    def action():
        calls.append(1)
        return StepResult((folder.write("rtl/top.sv", "module top;"), folder.write("graph.txt", "g")), (TOP1,))

    def step(key="k"):
        return folder.step("emit", key, action)

    assert step() == step() == (TOP1,) and len(calls) == 1
    assert step("other") == (TOP1,) and len(calls) == 2
    (tmp_path / "rtl" / "top.sv").write_text("module altered;")
    step("other")
    assert len(calls) == 3 and (tmp_path / "rtl" / "top.sv").read_text() == "module top;"
    (tmp_path / "graph.txt").unlink()
    step("other")
    (tmp_path / "steps" / "emit.json").write_text("{half a mar")
    step("other")
    assert len(calls) == 5


def test_directories_are_artefacts_too(tmp_path):
    folder = RunFolder(tmp_path)

    def action():
        for name in "ab":
            folder.write(f"rtl/{name}.mem", name)
        return StepResult((folder.rtl,))

    folder.step("emit", "k", action)
    assert folder.finished("emit", "k") == ()
    (tmp_path / "rtl" / "b.mem").unlink()
    assert folder.finished("emit", "k") is None


def test_a_failed_step_is_not_marked(tmp_path):
    folder = RunFolder(tmp_path)
    folder.step("a", "k", StepResult)
    with pytest.raises(ZeroDivisionError):
        folder.step("a", "other", lambda: StepResult((tmp_path / str(1 // 0),)))
    assert folder.finished("a", "other") is None and folder.finished("a", "k") is None


STEPS = """
    import sys
    from pathlib import Path
    from intaglio.measure import StepResult, RunFolder
    folder = RunFolder(Path(sys.argv[1]))
    def first():
        with open(folder.path / "journal", "a") as f: f.write("first\\n")
        return StepResult((folder.write("a", "1"),))
    def second():
        with open(folder.path / "journal", "a") as f: f.write("second\\n")
        print("second", flush=True)
        sys.stdin.read()
        return StepResult((folder.write("b", "2"),))
    with folder.lock():
        folder.step("first", "k", first)
        folder.step("second", "k", second)
"""


def test_a_killed_run_resumes_and_loses_nothing(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(STEPS), str(tmp_path)]
    journal = tmp_path / "journal"
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "second\n"
        with pytest.raises(IntaglioError, match="another run is at work"), RunFolder(tmp_path).lock():
            pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert RunFolder(tmp_path).finished("second", "k") is None
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    assert journal.read_text().split() == ["first", "second", "second"]
    assert (tmp_path / "b").read_text() == "2"


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "measurements.json"
    write_atomically(path, "old")

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(IntaglioError, match="disk is full"):
        write_atomically(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_file_is_replaced_and_never_written_into(tmp_path):
    path, witness = tmp_path / "graph.txt", tmp_path / "witness"
    write_atomically(path, "old")
    witness.hardlink_to(path)
    write_atomically(path, "new")
    assert (path.read_text(), witness.read_text()) == ("new", "old") and len(list(tmp_path.iterdir())) == 2


FULL = """
    import sys
    from pathlib import Path
    from intaglio.measure import RunFolder
    folder = RunFolder(Path(sys.argv[1]))
    folder.write("graph.txt", "whole")
    try:
        folder.write("graph.txt", "x" * 1_000_000)
    except ValueError as error:
        print(error)
    print([(p.name, p.read_text()) for p in folder.path.iterdir()])
"""


def test_a_disk_that_is_really_full(tmp_path):
    script = 'mount -t tmpfs -o size=64k none "$1" && exec "$2" -c "$3" "$1"'
    shell = ["unshare", "-rm", "sh", "-c", script, "sh", str(tmp_path), sys.executable]
    if shutil.which("unshare") is None or subprocess.run([*shell, "0"], capture_output=True).returncode:
        pytest.skip("no small file system can be mounted here")
    said = subprocess.run([*shell, textwrap.dedent(FULL)], capture_output=True, text=True, check=True).stdout
    assert "the disk is full" in said and "[('graph.txt', 'whole')]" in said


def test_reading_what_is_not_a_run(tmp_path):
    with pytest.raises(DataError, match="is it the folder of a run"):
        RunFolder(Path(tmp_path)).read_measurements()


def test_a_key_of_code_that_is_not_there_is_an_error():
    with pytest.raises(FileNotFoundError, match=r"trace\.py"):
        code_key("ir", "trace.py")


RECORD = {"subject": "x", "name": "top1", "value": 1.0, "source": "measured", "by": "t", "n": 1, "seeds": [0]}


@pytest.mark.parametrize(("key", "value"), [
    ("value", "1"), ("value", True), ("value", None), ("value", 10**400), ("subject", 3), ("name", ["top1"]),
    ("n", 1.5), ("seeds", ["0"]), ("seeds", 0), ("by", {}), ("note", 7), ("source", {}), ("note", "\ud800"),
])  # fmt: skip
def test_a_record_whose_values_are_of_another_kind(key, value):
    assert load(json.dumps([RECORD]))[0].value == 1.0
    with pytest.raises(DataError, match=key):
        load(json.dumps([{**RECORD, key: value}]))


@pytest.mark.parametrize(("key", "value"), [("n", -1), ("value", 100.1), ("value", -0.1)])
def test_a_record_of_what_cannot_be(key, value):
    with pytest.raises(DataError, match=r"not negative|between 0 and 100"):
        load(json.dumps([{**RECORD, key: value}]))


@pytest.mark.parametrize("text", ["[" * 10**5, "[NaN]", "9" * 5000, '[{"value": 1e999}]'])
def test_text_that_holds_no_records(text):
    with pytest.raises(DataError):
        load(text)


def test_a_folder_of_something_else_is_left_as_it_is(tmp_path):
    """A project has such directories, too; a run removes its own."""
    for name in ("rtl", "checkpoints"):
        project = tmp_path / f"with {name}"
        (project / name).mkdir(parents=True)
        words = f"{name} is not of a run, which would replace it: choose an empty folder"
        with pytest.raises(IntaglioError, match=words), RunFolder(project).lock():
            raise AssertionError
        assert [path.name for path in project.rglob("*")] == [name]
    with RunFolder(tmp_path / "new").lock():
        (tmp_path / "new" / "rtl").mkdir()
    with RunFolder(tmp_path / "new").lock():
        pass


def test_a_marker_that_names_a_device(tmp_path):
    folder = RunFolder(tmp_path)
    folder.step("s", "key", StepResult)
    marker = tmp_path / "steps" / "s.json"
    assert folder.finished("s", "key") == ()
    marker.write_text(json.dumps({**json.loads(marker.read_text()), "files": {"/dev/zero": "0"}}))
    assert folder.finished("s", "key") is None
