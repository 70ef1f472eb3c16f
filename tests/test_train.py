"""The training loop: learns, is reproducible, survives being killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from intaglio.datasets import Dataset, Split
from intaglio.ir.errors import DataError, RangeError
from intaglio.methods import FixedPoint, Method, Prune, Recipe
from intaglio.train import Checkpoint, distilled, evaluate, fit, load_weights, save_weights

SCRIPT = """
import os, signal, sys
import torch
sys.path.insert(0, {tests!r})
from test_train import data, prepared
from intaglio.train import fit, save_weights

def die(epoch, record):
    if epoch == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

model, recipe = prepared()
fit(model, data(), 5, 0.01, seed=3, batch=16, methods=recipe.methods, checkpoint=sys.argv[1], callbacks=[die])
save_weights(model, sys.argv[2])
"""


def data(count: int = 120) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(count, 6, generator=generator)
    y = (x[:, 0] > x[:, 1]).long() + (x[:, 2] > 0.5).long()
    split = count * 2 // 3
    return Dataset("toy", Split(x[:split], y[:split]), Split(x[split:], y[split:]), Split(x[:0], y[:0]), 3)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))


def prepared() -> tuple[nn.Module, Recipe]:
    recipe = Recipe(Prune(sparsity=0.5, schedule="gradual"), FixedPoint(weight_bits=4))
    return recipe.apply(net(), data().train.x), recipe


def test_learns_and_records():
    model, seen = net(), []
    history = fit(model, data(600), 12, 0.02, batch=32, callbacks=[lambda epoch, record: seen.append((epoch, record))])
    assert history[-1]["loss"] < 0.6 * history[0]["loss"] and history[-1]["top1"] > 85
    assert [epoch for epoch, _ in seen] == list(range(1, 13)) and seen[-1][1] == history[-1]
    assert history[0]["lr"] > history[-1]["lr"] and not model.training


def test_same_seed_same_weights_and_outer_randomness_untouched():
    states = []
    for _ in range(2):
        model = net()
        state = torch.get_rng_state()
        fit(model, data(), 2, 0.01, seed=7)
        assert torch.equal(torch.get_rng_state(), state)
        states.append(model.state_dict())
    other = net()
    fit(other, data(), 2, 0.01, seed=8)
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert not torch.equal(other.state_dict()["0.weight"], states[0]["0.weight"])


def run(folder: Path, die: int) -> subprocess.CompletedProcess[bytes]:
    source = str(Path(__file__).parent.parent / "src")
    environment = {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"}
    script = SCRIPT.format(tests=str(Path(__file__).parent))
    return subprocess.run([sys.executable, "-c", script, str(folder / "run"), str(folder / "weights"), str(die)],
                          env=environment, capture_output=True, timeout=1200)  # fmt: skip


def test_killed_run_continues_to_the_same_weights(tmp_path: Path):
    killed = run(tmp_path, 2)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert len(Checkpoint(tmp_path / "run").read()["history"]) == 2
    (tmp_path / "run" / "checkpoint.part").write_bytes(b"half a file")
    resumed = run(tmp_path, 99)
    assert resumed.returncode == 0, resumed.stderr.decode()
    model, recipe = prepared()
    history = fit(model, data(), 5, 0.01, seed=3, batch=16, methods=recipe.methods)
    recipe.verify(model)
    assert len(history) == 5
    again = load_weights(prepared()[0], tmp_path / "weights")
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_checkpoints_of_other_runs_are_refused(tmp_path: Path):
    fit(net(), data(), 1, 0.01, checkpoint=tmp_path)
    with pytest.raises(DataError, match=r"lr = 0\.01.*lr = 0\.02"):
        fit(net(), data(), 1, 0.02, checkpoint=tmp_path)
    with pytest.raises(DataError, match="another network"):
        fit(nn.Linear(6, 3), data(), 1, 0.01, checkpoint=tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes(b"nonsense")
    with pytest.raises(DataError, match="not a checkpoint"):
        fit(net(), data(), 1, 0.01, checkpoint=tmp_path)


@pytest.mark.parametrize("state", [
    [], {}, {"settings": {}}, {"settings": 3, "history": []}, {"settings": {}, "history": [3]},
    {"settings": {}, "history": [{"loss": "x"}]}, {"settings": {}, "history": [], "model": 3, "optimizer": {}},
    {"settings": {}, "history": [], "model": {}, "optimizer": {}}, {"settings": {}, "history": []}, 7,
])  # fmt: skip
def test_checkpoints_of_another_form_are_refused(state, tmp_path: Path):
    torch.save(state, tmp_path / "checkpoint.pt")
    with pytest.raises(DataError, match="delete it to start again"):
        fit(net(), data(), 1, 0.01, checkpoint=tmp_path)


def test_checkpoints_hold_no_code(tmp_path: Path):
    class Evil:
        def __reduce__(self):
            return os.system, ("true",)

    torch.save({"settings": Evil()}, tmp_path / "checkpoint.pt")
    with pytest.raises(DataError, match="not a checkpoint"):
        Checkpoint(tmp_path).read()


def test_methods_take_part():
    calls: list[float] = []

    class Listen(Method):
        def loss(self, model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return 1e3 * sum(p.square().sum() for p in model.parameters())

        def step(self, model: nn.Module, progress: float) -> None:
            calls.append(progress)

    model = nn.Linear(6, 3)
    fit(model, data(), 30, 0.02, batch=40, methods=[Listen()], schedule="constant")
    assert calls == sorted(calls) and calls[0] == 0 and calls[-1] == 1 and len(calls) == 61
    assert float(model.weight.detach().abs().max()) < 0.05


def test_gradual_pruning_reaches_its_sparsity():
    model, recipe = prepared()
    fit(model, data(), 3, 0.01, methods=recipe.methods)
    assert int((model.get_submodule("0").weight == 0).sum()) >= 48


def test_own_loss_and_augmentation():
    seen = []

    def step(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        seen.append(float(x.max()))
        return model(x).square().sum()

    history = fit(nn.Linear(6, 3), data(), 3, 0.01, optimizer="sgd", step=step, augment=lambda x, generator: x * 0)
    assert max(seen) == 0 and history[-1]["loss"] < history[0]["loss"]


def test_distillation_is_hintons_loss():
    torch.manual_seed(3)
    teacher, student = nn.Sequential(nn.Linear(6, 3), nn.Dropout(0.9)), nn.Linear(6, 3)
    x, y = torch.rand(5, 6), torch.tensor([0, 1, 2, 0, 1])
    p, q = ((layer(x).detach() / 2).softmax(1).double() for layer in (teacher[0], student))
    entropy = -student(x).detach().log_softmax(1)[torch.arange(5), y].mean()
    wanted = 0.7 * entropy + 0.3 * 4 * (p * (p / q).log()).sum(1).mean()
    assert float(distilled(teacher, 0.3, 2.0)(student, x, y).detach()) == pytest.approx(float(wanted), rel=1e-5)
    assert float(distilled(student, 1.0)(student, x, y).detach()) == pytest.approx(0, abs=1e-6)
    assert teacher.training and all(p.grad is None for p in teacher.parameters())
    with pytest.raises(RangeError, match=r"share = 1\.5"):
        distilled(teacher, 1.5)


def test_a_student_learns_from_its_teacher_alone():
    torch.manual_seed(4)
    teacher, student, toy = nn.Linear(6, 3), nn.Linear(6, 3), data()
    fit(student, toy, 60, 0.05, batch=40, step=distilled(teacher.double(), 1.0, 1.0))
    x = toy.train.x
    same = (student(x).argmax(1) == teacher(x.double()).argmax(1)).float().mean()
    assert float(same) > 0.9 and evaluate(student, x, toy.train.y) < 80


def test_faults_are_named():
    empty = Split(torch.zeros(0, 6), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(DataError, match="training split is empty"):
        fit(net(), Dataset("none", empty, empty, empty, 3), 1, 0.01)
    with pytest.raises(RangeError, match="lower lr = 1e\\+30"):
        fit(nn.Linear(6, 3), data(), 5, 1e30, optimizer="sgd", batch=8, schedule="constant",
            step=lambda model, x, y: model(x).square().mean())  # fmt: skip
    with pytest.raises(DataError, match="2 inputs and 1 labels"):
        evaluate(net(), torch.zeros(2, 6), torch.zeros(1))


def test_evaluate_counts():
    model = nn.Identity()
    x = torch.eye(4)
    assert evaluate(model, x, torch.tensor([0, 1, 2, 0]), batch=3) == 75.0
    assert evaluate(nn.Dropout(0.9).train(), x, torch.arange(4)) == 100.0


def test_evaluate_leaves_what_trains():
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout()).train()
    model[0].eval()
    evaluate(model, torch.eye(4), torch.arange(4))
    assert model.training and model[1].training and not model[0].training


def test_loading_another_networks_weights(tmp_path: Path):
    save_weights(net(), tmp_path / "a")
    with pytest.raises(DataError, match="same recipe"):
        load_weights(prepared()[0], tmp_path / "a")
