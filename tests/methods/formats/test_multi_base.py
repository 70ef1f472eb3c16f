"""Sums of binary bases: edges, least squares, rounding, the gradient, the integers."""

import copy
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from intaglio.ir.errors import RecipeError, StructureError
from intaglio.methods import FixedPoint, MultiBase, Recipe
from intaglio.methods.formats.multi_base import ActivationBases, MultiBaseWeights
from intaglio.twin.lower import equal, lower
from intaglio.twin.stack import grid_of, integers


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))


def bases(weight: np.ndarray, count: int) -> np.ndarray:
    """(n, count): the bases of the paper."""
    shifts = [-1 + 2 * i / (count - 1) for i in range(count)] if count > 1 else [0.0]
    columns = [np.where(weight - weight.mean() + u * weight.std() >= 0, 1.0, -1.0).ravel() for u in shifts]
    return np.stack(columns, 1)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_formula(count: int):
    model = Recipe(MultiBase(bases=count, scale_bits=8)).apply(net(), torch.rand(4, 2, 6, 6))
    for name in ("0", "3"):
        weight = net().get_submodule(name).weight.detach().numpy().astype(np.float64)
        matrix = bases(weight, count)
        best = np.linalg.solve(matrix.T @ matrix, matrix.T @ weight.ravel())
        layer = model.get_submodule(name)
        found = layer.weight.detach().double().numpy().ravel()
        assert np.abs(found - matrix @ best).max() <= count * 0.51 * np.abs(best).max() / 128
        coefficients, scale = grid_of(layer).coefficients.numpy(), float(grid_of(layer).scale)
        assert np.array_equal(coefficients[::-1], np.rint(best / scale))
        assert np.array_equal(found, matrix[:, ::-1] @ coefficients * scale)
        assert len(np.unique(integers(layer)[0])) == count + 1


@pytest.mark.parametrize("bits", [1, 3, 6])
def test_coefficients_fill_their_bits(bits: int):
    torch.manual_seed(0)
    grid = MultiBaseWeights(torch.randn(40, 40), 4, bits)
    assert 2 ** (bits - 1) <= grid.coefficients.abs().max() < 2**bits
    assert float(grid.scale) == 2.0 ** round(float(grid.scale.log2())) and grid.scales() == (float(grid.scale),)


def test_more_bases_come_closer():
    torch.manual_seed(0)
    weight = torch.randn(50, 50)
    errors = [float((MultiBaseWeights(weight, n, 8)(weight) - weight).square().mean()) for n in range(1, 6)]
    assert errors[0] == pytest.approx(1 - 2 / np.pi, abs=0.03)  # of a normal distribution
    assert all(later < 0.95 * earlier for earlier, later in pairwise(errors[:3]))
    assert errors[4] < errors[2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_gradient_passes_straight_through(dtype: torch.dtype):
    torch.manual_seed(0)
    weight = (3 * torch.randn(4, 30, dtype=dtype)).requires_grad_()
    factors = torch.randn(4, 30, dtype=dtype)
    grid = MultiBaseWeights(weight.detach(), 3, 4)
    assert torch.equal(torch.autograd.grad((grid(weight) * factors).sum(), weight)[0], factors)


def test_fits_in_training_and_keeps_the_fit_in_evaluation():
    model = Recipe(MultiBase()).apply(net(), torch.rand(4, 2, 6, 6)).eval()
    layer = model.get_submodule("3")
    before = layer.weight.detach()
    with torch.no_grad():
        layer.parametrizations.weight.original.mul_(8)
    assert layer.weight.detach().abs().max() == before.abs().max()
    layer.train()
    assert torch.equal(layer.weight.detach(), 8 * before)
    assert torch.equal(layer.eval().weight.detach(), 8 * before)


def test_training_lowers_the_loss_and_integers_agree():
    torch.manual_seed(1)
    x, y = torch.rand(48, 2, 6, 6), torch.arange(48) % 5
    x[torch.arange(48), 0, y, y + 1] += 2
    recipe = Recipe(MultiBase(bases=2))
    model = recipe.apply(net(), x).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-3:]) < 0.6 * losses[0]
    recipe.verify(model)
    for name in ("0", "3"):
        grid = grid_of(model.get_submodule(name))
        sums = {0.0}
        for c in grid.coefficients.tolist():
            assert abs(c) <= 15
            sums = {s + sign * c for s in sums for sign in (-1, 1)}
        whole, scales = integers(model.get_submodule(name))
        assert {value * float(scales[0] / grid.scales()[0]) for value in np.unique(whole)} <= sums
    assert equal(model, lower(model, x[:1]), x) == 0


@pytest.mark.parametrize("weight", [[[-0.3]], [[0.7] * 9], [[0.0, 0.0]], [[1.0, -1.0]]],
                         ids=["one", "constant", "zeros", "two"])  # fmt: skip
@pytest.mark.parametrize("count", [1, 3, 4])
def test_edge_cases(weight: list[list[float]], count: int):
    model = nn.Sequential(nn.Linear(len(weight[0]), 1)).double()
    model[0].weight.data = torch.tensor(weight, dtype=torch.float64)
    x = torch.rand(4, len(weight[0]), dtype=torch.float64)
    quantised = Recipe(MultiBase(bases=count)).apply(model, x)
    torch.testing.assert_close(quantised.get_submodule("0").weight, model[0].weight, rtol=2**-4, atol=0)
    assert equal(quantised, lower(quantised, x[:1]), x) == 0


def steps(thresholds: list[float], coefficients: list[float], bits: int = 4) -> ActivationBases:
    return ActivationBases(thresholds, coefficients, bits)


def test_activations_are_sums_of_shifted_signs():
    quantizer = steps([0.5, -0.25], [0.3125, 0.9375])
    assert quantizer.scale == Fraction(1, 16) and quantizer.reciprocal == 16
    assert quantizer.levels() == (-20, 10, 20) and quantizer.edges() == (Fraction(-1, 4), Fraction(1, 2))
    x = torch.tensor([-9.0, -0.2501, -0.25, 0.4999, 0.5, 9.0])
    assert (quantizer(x) * 16).tolist() == [-20, -20, 10, 10, 20, 20]
    assert [quantizer.quantize(Fraction(float(v))) for v in x] == [-20, -20, 10, 10, 20, 20]
    quantizer.low = quantizer.quantize(Fraction(0))  # a clip that freezing merges
    assert quantizer.levels() == (10, 20) and quantizer.edges() == (Fraction(1, 2),)
    assert (quantizer(x) * 16).tolist() == [10, 10, 10, 10, 20, 20]


def test_gradients_of_activations():
    torch.manual_seed(0)
    x = torch.randn(3, 50).requires_grad_()
    factors = torch.randn(3, 50)
    quantizer = steps([0.5, -0.25], [0.3125, 0.9375])
    found = torch.autograd.grad((quantizer(x) * factors).sum(), [x, quantizer.thresholds, quantizer.coefficients])
    near = [(x.detach() - 0.5).abs() <= 0.3125, (x.detach() + 0.25).abs() <= 0.9375]
    signs = [torch.where(x.detach() >= edge, 1.0, -1.0) for edge in (0.5, -0.25)]
    torch.testing.assert_close(found[0], factors * (near[0].float() + near[1].float()))
    root = 150**0.5
    torch.testing.assert_close(found[1], torch.stack([-(factors * n).sum() / root for n in near]))
    torch.testing.assert_close(found[2], torch.stack([(factors * s).sum() / root for s in signs]))


def test_activations_begin_at_the_values_before_the_rectifier():
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 2),
              nn.MaxPool2d(2, 1, 1), nn.ReLU(), nn.Flatten(), nn.Linear(24, 5)]  # fmt: skip
    x = torch.rand(64, 2, 6, 6)
    model = Recipe(MultiBase(activation_bases=3)).apply(nn.Sequential(*layers), x).eval()
    found = {name: module for name, module in model.named_modules() if isinstance(module, ActivationBases)}
    assert list(found) == ["2_quantizer", "4_quantizer"]
    assert not any(isinstance(module, nn.ReLU) for module in model.modules())
    with torch.no_grad():
        values = model.get_submodule("1")(model.get_submodule("0")(model.get_submodule("input_quantizer")(x)))
    expected = float(values.mean()) + np.array([-1, 0, 1]) * float(values.std())
    assert np.abs(np.sort(found["2_quantizer"].thresholds.tolist()) - expected).max() < 0.1 * float(values.std())
    error = (found["2_quantizer"](values) - values).square().mean() / values.var()
    assert error < 0.2
    assert equal(model, lower(model, x[:1]), x) == 0


@pytest.mark.parametrize("count", [1, 3])
def test_training_with_activation_bases(count: int):
    torch.manual_seed(1)
    x, y = torch.rand(48, 2, 6, 6), torch.arange(48) % 5
    x[torch.arange(48), 0, y, y + 1] += 2
    recipe = Recipe(MultiBase(activation_bases=count))
    model = recipe.apply(net(), x).train()
    quantizer = model.get_submodule("1_quantizer")
    before = [quantizer.thresholds.detach().clone(), quantizer.coefficients.detach().clone()]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-3:]) < 0.7 * losses[0]
    assert (before[0] != quantizer.thresholds).all() and (before[1] != quantizer.coefficients).all()
    recipe.verify(model)
    graph = lower(model, x[:1])
    assert equal(model, graph, x) == 0
    again = recipe.apply(net(), torch.rand(4, 2, 6, 6))
    again.load_state_dict(model.state_dict())
    assert lower(again, x[:1]) == graph == lower(copy.deepcopy(model), x[:1])


def test_refusals_of_activations():
    x = torch.rand(4, 2, 6, 6)
    with pytest.raises(RecipeError, match="activation_bases is set, but no selected layer has an activation"):
        Recipe(MultiBase(activation_bases=2, select="3")).apply(net(), x)
    with pytest.raises(StructureError, match=r"0: its ActivationBases is gone.*before MultiBase"):
        Recipe(MultiBase(activation_bases=2), FixedPoint()).apply(net(), x)
