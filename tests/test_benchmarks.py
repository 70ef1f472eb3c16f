"""The benchmarks import, their records have the promised form, and their arithmetic is the graph's."""

import ast
import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = (
    "golden_speed", "qat_step", "format_step", "nngen", "qonnx_tfc", "area_per_mac", "throughput_by_width",
    "evaluated", "growth", "planted_faults", "run_faults",
)  # fmt: skip


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.mark.parametrize("name", ("__main__", "area", "lanes", "machine", "networks", "peers", "records", *SCRIPTS))
def test_imports(name):
    module = importlib.import_module(f"benchmarks.{name}")
    assert module.__doc__
    if name in SCRIPTS:
        assert callable(module.main)


def test_workers_parse_and_are_named_by_the_scripts():
    for path in (ROOT / "benchmarks" / "workers").glob("*.py"):
        assert ast.get_docstring(ast.parse(path.read_text()))
    peers = importlib.import_module("benchmarks.peers")
    for peer, installs in peers.PEERS.items():
        assert (peers.WORKERS / f"run_{peer}.py").is_file()
        assert all("==" in requirement or "<" in requirement for install in installs for requirement in install)


def test_list_and_unknown_name(capsys):
    main = importlib.import_module("benchmarks.__main__").main
    assert main(["list"]) == 0
    assert all(name in capsys.readouterr().out for name in SCRIPTS[:1])
    assert main(["nonsense"]) == 2
    assert "golden_speed" in capsys.readouterr().err


def test_target_and_spread():
    records = importlib.import_module("benchmarks.records")
    assert records.Target("a", 2.0, 1.0).met is True
    assert records.Target("a", 2.0, 1.0, at_most=True).met is False
    assert records.Target("a", None, 1.0).met is None
    assert records.spread([3.0, 1.0, 2.0]) == {"min": 1.0, "median": 2.0, "max": 3.0}


def test_save_is_whole_and_complete(tmp_path, monkeypatch):
    records = importlib.import_module("benchmarks.records")
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    path = records.save(
        "x", "c", {"n": np.int64(3)}, [{"v": 1 / 3}], [records.Target("t", 1.0, 2.0)], {"p": {"p": "1"}}
    )
    check(json.loads(path.read_text()), records.KEYS)
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]
    assert json.loads(path.read_text())["figures"] == [{"v": 0.333333}]


@pytest.mark.parametrize("name", SCRIPTS)
def test_stored_record(name):
    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    if not path.is_file():
        pytest.skip(f"{name} has not been run here")
    record = json.loads(path.read_text())
    check(record, importlib.import_module("benchmarks.records").KEYS)
    assert record["name"] == name
    assert "/" not in record["machine"]["system"]


def check(record, keys):
    assert tuple(record) == keys
    assert record["machine"]["cores"] >= 1 and record["machine"]["cpu"]
    assert "python" in record["versions"]["here"]
    assert record["figures"] and record["targets"]
    for target in record["targets"]:
        assert {"claim", "value", "target", "at_most", "met"} == set(target)
        if target["value"] is not None:
            holds = target["value"] <= target["target"] if target["at_most"] else target["value"] >= target["target"]
            assert target["met"] is holds


def test_the_integer_network_is_what_it_says(tmp_path):
    networks = importlib.import_module("benchmarks.networks")
    for final in (True, False):
        network = networks.jet_mlp(final=final)
        x = inputs = network.inputs(50)
        for i, (w, b, s) in enumerate(zip(network.weights, network.biases, network.shifts, strict=True)):
            x = x @ w.T + b
            if i < 3:
                x = np.clip((x + 2 ** (s - 1)) >> s, 0, 127)
            elif final:
                x = np.clip((x + 2 ** (s - 1)) >> s, -127, 127)
        assert np.array_equal(network.graph(inputs)[0], x)
        assert np.abs(x).max() > 20
    data = np.load(network.save(tmp_path / "n.npz", 8))
    assert np.array_equal(data["outputs"], network.graph(data["inputs"])[0])


def test_worker_takes_turns(tmp_path, monkeypatch):
    peers = importlib.import_module("benchmarks.peers")
    monkeypatch.setattr(peers, "HOME", tmp_path)
    monkeypatch.setattr(peers, "WORKERS", tmp_path)
    turns = ROOT / "benchmarks" / "workers"
    text = f"import sys; sys.path.append({str(turns)!r}); import turns; turns.take_turns(lambda: None, batch=7)"
    (tmp_path / "run_idle.py").write_text(text)
    with peers.Worker("idle", Path(sys.executable)) as worker:
        answer = worker.ask(seconds=0.01)
    assert worker.setup == {"batch": 7}
    assert answer["calls"] > 0 and answer["wall"] >= 0.01
    (tmp_path / "run_broken.py").write_text("raise SystemExit('no such thing')")
    with pytest.raises(peers.PeerError, match="no such thing"), peers.Worker("broken", Path(sys.executable)):
        pass


def test_dominates_needs_every_figure():
    nngen = importlib.import_module("benchmarks.nngen")
    area = importlib.import_module("benchmarks.area").Area

    def point(**changes):
        figures = {"lut4_eq": 10, "ff": 10, "bram": 10, "latency": 10, "interval": 10, **changes}
        counted = area(0, 0, figures["ff"], 0, figures["bram"], 0, 0, figures["lut4_eq"], "", 0.0)
        return nngen.Point("p", True, {"default": counted}, figures["latency"], figures["interval"], None, 0, 1)

    rival = point()
    better = {"lut4_eq": 9, "ff": 9, "bram": 9, "latency": 9, "interval": 9}
    assert nngen.dominates(point(**better), rival)
    for key in better:
        assert not nngen.dominates(point(**{**better, key: 10}), rival)


def test_everyone_comes_in_every_place():
    turn = importlib.import_module("benchmarks.peers").turn
    rounds = [turn(list("abc"), number) for number in range(6)]
    assert all(sorted(order) == list("abc") for order in rounds)
    assert all(sorted(order[place] for order in rounds) == list("aabbcc") for place in range(3))


def test_formats_train_the_pool_first_without_changing_a_result():
    torch = importlib.import_module("torch")
    formats = importlib.import_module("benchmarks.formats_mnist")
    row = formats.ROWS["lenet5_norm_w1a1"]
    assert formats.Recipe.from_yaml(row.recipe.to_yaml()) == row.recipe
    torch.manual_seed(0)
    x = torch.rand(8, 1, 28, 28)
    model = row.recipe.apply(formats.MODELS[row.network](), x).eval()
    pairs, before = formats.pooled(model), model(x)
    assert pairs == [("relu1_quantizer", "pool1"), ("relu2_quantizer", "pool2")]
    formats.exchange(model, pairs)
    assert type(model.get_submodule("pool1")).__name__ == "SignQuantizer"
    assert torch.equal(model(x), before)
    formats.exchange(model, pairs)
    assert formats.pooled(model) == pairs


def test_formats_summary_counts_against_the_float_network_of_the_same_seed():
    formats = importlib.import_module("benchmarks.formats_mnist")
    times = {"train_wall_s": 1.0, "train_cpu_s": 1.0}
    rows = [
        {"row": "sfc_float", "seed": 0, "test_top1": 99.0, **times},
        {"row": "sfc_w1a1", "seed": 0, "test_top1": 98.0, "graph_top1": 97.5, "mismatches.torch_graph": 3, **times},
        {"row": "sfc_w1a1", "seed": 1, "test_top1": 98.1, **times},
    ]
    found = {entry["row"]: entry for entry in formats.summary(rows)}["sfc_w1a1"]
    assert found["each"] == [97.5, 98.1] and found["loss_points"] == 1.5 and found["met"] is False
    assert found["mismatches.torch_graph"] is None
