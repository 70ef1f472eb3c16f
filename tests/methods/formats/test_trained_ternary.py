"""Trained ternary weights: threshold, rounding of the two values, their gradients, the integers."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from intaglio.methods import Prune, Recipe, TrainedTernary
from intaglio.methods.formats.trained_ternary import TrainedTernaryWeights
from intaglio.twin.lower import equal, lower
from intaglio.twin.stack import grid_of, integers


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))


def grid(positive: float, negative: float, bits: int) -> TrainedTernaryWeights:
    made = TrainedTernaryWeights(torch.tensor([1.0, -1.0]), 0.05, bits)
    made.values.data = torch.tensor([positive, negative])
    return made


@pytest.mark.parametrize("threshold", [0.05, 0.4])
@pytest.mark.parametrize("bits", [1, 4, 8])
def test_formula(threshold: float, bits: int):
    model = Recipe(TrainedTernary(threshold=threshold, scale_bits=bits)).apply(net(), torch.rand(4, 2, 6, 6))
    for name in ("0", "3"):
        weight = net().get_submodule(name).weight.detach().numpy()
        kept = np.abs(weight) > np.float32(threshold) * np.abs(weight).max()
        layer = model.get_submodule(name)
        for side, value in ((weight > 0, 1), (weight < 0, -1)):
            (found,) = np.unique(layer.weight.detach().double().numpy()[kept & side])
            mean = weight[kept & side].astype(np.float64).mean()
            assert np.sign(found) == value and abs(found / mean - 1) <= (0.5 if bits == 1 else 1.01 * 2.0**-bits)
        whole, _ = integers(layer)
        assert np.array_equal(whole == 0, ~kept) and len(np.unique(whole)) == 3
        assert np.abs(whole).max() < 2**bits


@pytest.mark.parametrize(("positive", "negative", "bits", "expected"), [
    (1.0, 0.5, 4, (8, 4, Fraction(1, 8))),
    (0.9375, 0.3125, 4, (15, 5, Fraction(1, 16))),
    (0.93, 0.41, 4, (15, 7, Fraction(1, 16))),
    (0.999, 0.93, 4, (8, 7, Fraction(1, 8))),  # 15.98 sixteenths are 16: one bit too many
    (0.1, 1.5, 4, (1, 12, Fraction(1, 8))),
    (-3.0, 0.75, 4, (1, 12, Fraction(1, 16))),
    (0.7, 0.4, 1, (1, 1, Fraction(1, 2))),
    (-1.0, -2.0, 4, (8, 8, Fraction(1, 2**27))),
])  # fmt: skip
def test_rounding(positive: float, negative: float, bits: int, expected: tuple[int, int, Fraction]):
    made = grid(positive, negative, bits)
    assert made.rounded()[:2] == expected[:2] and made.scales() == expected[2:]
    values = made(torch.tensor([1.0, 0.01, -1.0])).tolist()
    assert values == [expected[0] * expected[2], 0, -expected[1] * expected[2]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients(dtype: torch.dtype):
    torch.manual_seed(0)
    weight = torch.randn(6, 20, dtype=dtype).requires_grad_()
    made = TrainedTernaryWeights(weight.detach(), 0.3, 4).to(dtype)
    factors = torch.randn(6, 20, dtype=dtype)
    found = torch.autograd.grad((made(weight) * factors).sum(), [weight, made.values])
    p, n, scale = made.rounded()
    edge = 0.3 * weight.detach().abs().max()
    positive, negative = weight.detach() > edge, weight.detach() < -edge
    assert positive.any() and negative.any() and not (positive | negative).all()
    ones = torch.ones_like(factors)
    torch.testing.assert_close(
        found[0], factors * torch.where(positive, p * scale * ones, torch.where(negative, n * scale * ones, ones))
    )
    torch.testing.assert_close(found[1], torch.stack([factors[positive].sum(), -factors[negative].sum()]))


def test_threshold_follows_the_weight_only_in_training():
    model = Recipe(TrainedTernary()).apply(net(), torch.rand(4, 2, 6, 6)).eval()
    layer = model.get_submodule("3")
    with torch.no_grad():
        layer.parametrizations.weight.original[0, 0] = 100.0
    assert (layer.weight != 0).float().mean() > 0.9
    layer.train()
    assert (layer.weight != 0).sum() == 1
    assert (layer.eval().weight != 0).sum() == 1


def test_training_moves_the_values_and_lowers_the_loss():
    torch.manual_seed(1)
    x, y = torch.rand(48, 2, 6, 6), torch.arange(48) % 5
    x[torch.arange(48), 0, y, y + 1] += 2
    recipe = Recipe(Prune(sparsity=0.3), TrainedTernary())
    model = recipe.apply(net(), x).train()
    before = grid_of(model.get_submodule("3")).values.detach().clone()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    after = grid_of(model.get_submodule("3")).values.detach()
    assert np.mean(losses[-3:]) < 0.6 * losses[0] and ((after / before - 1).abs() > 0.2).all()
    recipe.verify(model)
    for name in ("0", "3"):
        p, n, _ = grid_of(model.get_submodule(name)).rounded()
        common = math.gcd(p, n)
        assert p != n and 8 <= max(p, n) <= 15
        assert set(np.unique(integers(model.get_submodule(name))[0])) == {-n // common, 0, p // common}
    assert equal(model, lower(model, x[:1]), x) == 0


@pytest.mark.parametrize("weight", [[[-0.3]], [[0.5, 0.5]], [[0.0, 0.0]]], ids=["one", "positive", "zeros"])
def test_edge_cases(weight: list[list[float]]):
    model = nn.Sequential(nn.Linear(len(weight[0]), 1)).double()
    model[0].weight.data = torch.tensor(weight, dtype=torch.float64)
    x = torch.rand(4, len(weight[0]), dtype=torch.float64)
    quantised = Recipe(TrainedTernary()).apply(model, x)
    torch.testing.assert_close(quantised.get_submodule("0").weight, model[0].weight, rtol=2**-4, atol=0)
    assert equal(quantised, lower(quantised, x[:1]), x) == 0
