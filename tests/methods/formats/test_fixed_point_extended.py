"""Stochastic rounding, scales that follow overflows, and what every uniform format must do."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from intaglio.datasets import Dataset, Split
from intaglio.ir.errors import RecipeError
from intaglio.methods import Dorefa, FixedPoint, LearnedBits, MixedPrecision, Pact, Recipe
from intaglio.train import evaluate, fit, load_weights, save_weights
from intaglio.twin.freeze import freeze
from intaglio.twin.lower import equal, lower
from intaglio.twin.quantizers import ActivationQuantizer, Grid, Overflow, WeightQuantizer
from intaglio.twin.stack import grid_of, integers

FAMILY = {
    "stochastic": Recipe(FixedPoint(weight_bits=4, activation_bits=5, rounding="stochastic")),
    "overflow": Recipe(
        FixedPoint(weight_bits=4, per_channel=True, scale_update="overflow", update_steps=3, rounding="stochastic")
    ),
    "pact": Recipe(FixedPoint(weight_bits=5), Pact(bits=4)),
    "dorefa": Recipe(Dorefa(weight_bits=3, scale="least_squares")),
    "dorefa_binary": Recipe(Dorefa(weight_bits=1, activation_bits=2), Pact(bits=2)),
    "learned_channel": Recipe(LearnedBits()),
    "learned_weight": Recipe(LearnedBits(granularity="weight", penalty=1.0)),
    "mixed": Recipe(MixedPrecision(average_bits=3.5, average_activation_bits=5)),
}
each = pytest.mark.parametrize("recipe", FAMILY.values(), ids=FAMILY)


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(24, 10), nn.ReLU(),
        nn.Linear(10, 3),
    )  # fmt: skip


def data(count: int = 300) -> Dataset:
    """Which third of an image is bright."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(count, 1, 6, 6, generator=generator), torch.randint(3, (count,), generator=generator)
    x.view(count, 3, 12)[torch.arange(count), y] += 0.5
    split = count * 2 // 3
    return Dataset("toy", Split(x[:split], y[:split]), Split(x[split:], y[split:]), Split(x[:0], y[:0]), 3)


def same(a: nn.Module, b: nn.Module) -> bool:
    states = a.state_dict(), b.state_dict()
    return states[0].keys() == states[1].keys() and all(torch.equal(v, states[1][k]) for k, v in states[0].items())


@pytest.mark.parametrize("channels", [1, 3])
def test_stochastic_rounding_by_the_formula(channels: int):
    x = torch.linspace(-3, 3, 300, dtype=torch.float64).reshape(3, 100)
    grid = WeightQuantizer(4, "power_of_two", torch.full((channels,), -2.0), False)
    grid.stochastic = True
    torch.manual_seed(5)
    found = grid.train()(x)
    torch.manual_seed(5)
    u = torch.rand_like(x).numpy()
    assert np.array_equal(found.numpy(), np.clip(np.floor(x.numpy() * 4 + u), -7, 7) / 4)
    assert not torch.equal(grid(x), found)
    assert torch.equal(grid.eval()(x), torch.clamp(torch.floor(x * 4 + 0.5), -7, 7) / 4)


def test_weights_and_activations_round_stochastically_but_not_the_input():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    model = FixedPoint(rounding="stochastic").apply(model, torch.rand(8, 4))
    found = {name: module.stochastic for name, module in model.named_modules() if isinstance(module, Grid)}
    weights = {f"{name}.parametrizations.weight.0": True for name in ("0", "2")}
    assert found == {**weights, "1_quantizer": True, "input_quantizer": False}


def test_stochastic_rounding_is_right_on_average_and_keeps_zeros():
    grid = ActivationQuantizer(6, True, "power_of_two", -1.0).train()
    grid.stochastic = True
    torch.manual_seed(0)
    for value in (0.1, -3.3, 7.45):
        assert float(grid(torch.full((40000,), value)).mean()) == pytest.approx(value, abs=0.01)
    assert not grid(torch.zeros(10000)).any() and float(grid(torch.full((1000,), 99.0)).max()) == 15.5


def test_stochastic_gradient_is_straight_through():
    x = torch.linspace(-3, 3, 61, dtype=torch.float64).requires_grad_()
    grid = WeightQuantizer(3, "power_of_two", torch.tensor([-1.0], dtype=torch.float64), True)
    grid.stochastic = True
    y = grid.train()(x)
    y.sum().backward()
    inside = (x.detach().abs() < 1.75).double()
    assert torch.equal(x.grad, inside)
    error = (y.detach() - x.detach() * inside).sum()
    assert float(grid.log2_scale.grad) == pytest.approx(float(error) * np.log(2) / np.sqrt(61 * 3))


def moves(x: Tensor, low: int, high: int, scale: float, rate: float) -> int:
    """Courbariaux et al.: double above the rate, halve where half the scale stays within it."""

    def share(s: float) -> float:
        q = np.floor(x.double().numpy() / s + 0.5)
        return float(((q < low) | (q > high)).mean())

    return 1 if share(scale) > rate else -1 if share(scale / 2) <= rate else 0


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("rate", [0.0, 0.01, 0.2])
def test_a_scale_follows_overflows(signed: bool, rate: float):
    torch.manual_seed(1)
    x = torch.randn(4000)
    x = x if signed else x.abs()
    seen = set()
    for exponent in range(-6, 3):
        grid = ActivationQuantizer(4, signed, "power_of_two", float(exponent)).train()
        grid.overflow = Overflow(1, rate, 2)
        grid(x[:1000])
        grid.follow_overflow()
        assert float(grid.log2_scale) == exponent
        grid(x[1000:])
        grid.eval()(x * 100)
        grid.follow_overflow()
        expected = moves(x, grid.low, grid.high, 2.0**exponent, rate)
        assert float(grid.log2_scale) == exponent + expected
        assert int(grid.overflow.steps) == 0 and not grid.overflow.counts.any()
        seen.add(expected)
    assert seen >= {1, -1}


@pytest.mark.parametrize("signed", [True, False])
def test_what_counts_as_an_overflow(signed: bool):
    grid = ActivationQuantizer(3, signed, "power_of_two", 0.0).train()
    grid.overflow = Overflow(1, 0.0, 9)
    x = torch.tensor([0.0, 1.7, 1.8, 3.4, 3.5, 7.4, 7.5, -2.2, -2.3, -4.5, -4.6] if signed else
                     [0.0, 3.7, 3.8, 7.4, 7.5, 9.0])  # fmt: skip
    grid(x)
    q, half = (np.floor(x.double().numpy() * factor + 0.5) for factor in (1, 2))
    wanted = [int(((v < grid.low) | (v > grid.high)).sum()) for v in (q, half)]
    assert grid.overflow.counts.flatten().tolist() == [len(x), *wanted] and wanted == ([4, 8] if signed else [2, 4])


def test_channels_follow_their_own_overflows():
    weight = torch.stack([torch.linspace(-1, 1, 50) * size for size in (8.0, 1.0, 0.01, 0.0)])
    grid = WeightQuantizer(4, "power_of_two", torch.full((4,), -2.0), False).train()
    grid.overflow = Overflow(4, 0.0, 1)
    grid(weight)
    grid.follow_overflow()
    assert grid.log2_scale.tolist() == [-1, -2, -3, -2]
    for _ in range(20):
        grid(weight)
        grid.follow_overflow()
    assert grid.log2_scale.tolist() == [1, -2, -9, -2]


def test_overflow_training_moves_scales_by_doubling():
    recipe = Recipe(FixedPoint(weight_bits=3, activation_bits=4, scale_update="overflow", update_steps=5))
    toy = data()
    model = recipe.apply(net(), toy.train.x)
    quantizer = model.get_submodule("2_quantizer")
    before = float(quantizer.log2_scale)
    assert not quantizer.log2_scale.requires_grad
    with torch.no_grad():
        model.get_submodule("1").weight.mul_(16)
    fit(model, toy, 3, 0.01, batch=20, methods=recipe.methods)
    assert 3 <= float(quantizer.log2_scale) - before <= 5
    fixed = Recipe(FixedPoint(learn=False)).apply(net(), toy.train.x)
    fit(fixed, toy, 1, 0.01, methods=(FixedPoint(learn=False),))
    assert float(fixed.get_submodule("2_quantizer").log2_scale) == pytest.approx(before - 4, abs=1)


@pytest.mark.parametrize(("knobs", "words"), [
    ({"weight_bits": 0}, "weight_bits = 0"),
    ({"activation_bits": 64}, "activation_bits = 64"),
    ({"scale_update": "overflow", "weight_scale": "dyadic"}, "weight_scale to power_of_two"),
    ({"scale_update": "overflow", "activation_scale": "dyadic"}, "activation_scale to power_of_two"),
    ({"rounding": "up"}, "rounding = 'up'"),
    ({"update_steps": 0}, "update_steps = 0"),
    ({"overflow_rate": 1.0}, "overflow_rate = 1.0"),
])  # fmt: skip
def test_knobs_are_checked(knobs: dict[str, object], words: str):
    with pytest.raises(RecipeError, match=words):
        FixedPoint(**knobs)


def test_the_default_has_nothing_more_to_save():
    model = Recipe(FixedPoint()).apply(net(), data().train.x)
    assert not any("overflow" in key for key in model.state_dict())


@each
def test_training_works_and_the_graph_agrees(recipe: Recipe):
    toy = data()
    torch.manual_seed(3)
    model = recipe.apply(net(), toy.train.x)
    assert equal(model, lower(model, toy.val.x[:1]), toy.val.x) == 0
    history = fit(model, toy, 12, 0.02, batch=50, methods=recipe.methods)
    recipe.verify(model)
    assert history[-1]["loss"] < history[0]["loss"]
    frozen = freeze(model)
    assert evaluate(frozen, toy.val.x, toy.val.y) > 85
    assert equal(model, lower(model, toy.val.x[:1]), toy.val.x) == 0


@each
def test_evaluation_is_deterministic_and_copies_are_equal(recipe: Recipe):
    toy = data(90)
    model = recipe.apply(net(), toy.train.x)
    fit(model, toy, 1, 0.01, batch=20, methods=recipe.methods)
    twin = copy.deepcopy(model)
    x = toy.val.x
    assert torch.equal(model(x), model(x)) and torch.equal(model(x), twin(x)) and same(model, twin)
    graph = lower(model, x[:1])
    fit(model, toy, 2, 0.05, batch=20, methods=recipe.methods)
    assert lower(twin, x[:1]) == graph != lower(model, x[:1])


@each
def test_a_stopped_training_goes_on_exactly(recipe: Recipe, tmp_path: Path):
    toy = data(90)

    def stop(epoch: int, record: dict[str, float]) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    whole = recipe.apply(net(), toy.train.x)
    fit(whole, toy, 4, 0.02, batch=20, methods=recipe.methods)
    with pytest.raises(KeyboardInterrupt):
        fit(recipe.apply(net(), toy.train.x), toy, 4, 0.02, batch=20, methods=recipe.methods, checkpoint=tmp_path,
            callbacks=[stop])  # fmt: skip
    resumed = recipe.apply(net(), toy.train.x)
    fit(resumed, toy, 4, 0.02, batch=20, methods=recipe.methods, checkpoint=tmp_path)
    assert same(whole, resumed)


@each
def test_the_file_decides_the_integers(recipe: Recipe, tmp_path: Path):
    toy = data(90)
    model = recipe.apply(net(), toy.train.x)
    fit(model, toy, 2, 0.05, batch=20, methods=recipe.methods)
    save_weights(model, tmp_path / "a.safetensors")
    other = net(7)
    with torch.no_grad():
        other[0].weight.mul_(5)
    again = load_weights(recipe.apply(other, toy.train.x * 0.3), tmp_path / "a.safetensors")
    assert lower(again, toy.val.x[:1]) == lower(model, toy.val.x[:1])


@each
def test_double_precision(recipe: Recipe):
    toy = data(90)
    model = recipe.apply(net().double(), toy.train.x.double()).train()
    loss = model(toy.train.x.double()).square().sum()
    (loss + sum(method.loss(model, toy.train.x, toy.train.y) for method in recipe.methods)).backward()
    assert all(p.grad is None or p.grad.dtype == p.dtype for p in model.parameters())
    for method in recipe.methods:
        method.step(model, 1.0)
    assert equal(model, lower(model, toy.val.x[:1].double()), toy.val.x.double()) == 0


@each
def test_constant_weights_and_dead_channels(recipe: Recipe):
    toy, model = data(90), net()
    with torch.no_grad():
        model[0].weight[2] = 0.0
        model[0].bias[2] = -1.0
        model[1].running_var[2] = 0.0
        model[5].weight.fill_(0.25)
    quantised = recipe.apply(model, toy.train.x)
    assert equal(quantised, lower(quantised, toy.val.x[:1]), toy.val.x) == 0
    fit(quantised, toy, 1, 0.01, batch=20, methods=recipe.methods)
    assert all(bool(torch.isfinite(v).all()) for v in quantised.state_dict().values())
    assert equal(quantised, lower(quantised, toy.val.x[:1]), toy.val.x) == 0


@pytest.mark.parametrize("name", [name for name in FAMILY if not name.startswith("dorefa")])
def test_a_layer_of_zeros(name: str):
    toy, model = data(90), net()
    with torch.no_grad():
        model[5].weight.zero_()
    quantised = FAMILY[name].apply(model, toy.train.x)
    fit(quantised, toy, 1, 0.0, batch=20, methods=FAMILY[name].methods)
    layer = quantised.get_submodule("5")
    assert grid_of(layer) is not None and not integers(layer)[0].any()
    assert equal(quantised, lower(quantised, toy.val.x[:1]), toy.val.x) == 0
