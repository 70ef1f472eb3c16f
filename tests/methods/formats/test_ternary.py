"""Ternary weights: threshold and scale, the gradient, the integers."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from intaglio.ir.errors import RangeError
from intaglio.methods import Prune, Recipe, Ternary
from intaglio.methods.formats.ternary import TernaryWeights
from intaglio.twin.lower import equal, lower
from intaglio.twin.stack import grid_of, integers


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))


def reference(weight: np.ndarray, factor: float, per_channel: bool) -> tuple[np.ndarray, np.ndarray]:
    """Integers and scales by the formulas of the paper."""
    rows = weight.astype(np.float64).reshape(len(weight) if per_channel else 1, -1)
    threshold = factor * np.abs(rows).mean(1, keepdims=True)
    whole = np.where(np.abs(rows) > threshold, np.sign(rows), 0)
    means = np.array([np.abs(row[kept != 0]).mean() for row, kept in zip(rows, whole, strict=True)])
    steps = 2.0 ** (np.floor(np.log2(means)) - 7)
    return whole.reshape(weight.shape), np.floor(means / steps + 0.5) * steps


@pytest.mark.parametrize("scale", ["layer", "channel"])
@pytest.mark.parametrize("threshold", [0.0, 0.7, 1.3])
def test_formula(scale: str, threshold: float):
    model = Recipe(Ternary(scale=scale, threshold=threshold)).apply(net(), torch.rand(4, 2, 6, 6))
    for name in ("0", "3"):
        whole, scales = reference(net().get_submodule(name).weight.detach().numpy(), threshold, scale == "channel")
        found, exact = integers(model.get_submodule(name))
        assert np.array_equal(found, whole) and [float(s) for s in exact] == scales.tolist()
        columns = scales.reshape(-1, *[1] * (whole.ndim - 1))
        weight = model.get_submodule(name).weight.detach().double().numpy()
        assert np.array_equal(weight, whole * columns) and (threshold == 0 or 0 in whole)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_gradient_passes_straight_through(dtype: torch.dtype):
    torch.manual_seed(0)
    weight = (3 * torch.randn(4, 30, dtype=dtype)).requires_grad_()
    factors = torch.randn(4, 30, dtype=dtype)
    grid = TernaryWeights(weight.detach(), 0.7, True)
    assert torch.equal(torch.autograd.grad((grid(weight) * factors).sum(), weight)[0], factors)


def test_fits_in_training_and_keeps_the_fit_in_evaluation():
    model = Recipe(Ternary(scale="layer")).apply(net(), torch.rand(4, 2, 6, 6)).eval()
    layer = model.get_submodule("3")
    latent = layer.parametrizations.weight.original
    with torch.no_grad():
        latent.copy_(torch.linspace(-2, 3, latent.numel()).reshape(latent.shape))
    state = copy.deepcopy(layer.state_dict())
    first = layer.weight.detach()
    assert grid_of(layer).scales()[0] < 0.2 and (first != 0).float().mean() > 0.9  # threshold of the old weights
    model.train()
    assert layer.weight.detach().abs().max() > 1
    whole, scales = reference(latent.detach().numpy(), 0.7, False)
    found, exact = integers(layer)
    assert np.array_equal(found, whole) and float(exact[0]) == scales[0]
    layer.load_state_dict(state)
    assert torch.equal(layer.eval().weight, first)


def test_training_lowers_the_loss_and_integers_agree():
    torch.manual_seed(1)
    x, y = torch.rand(48, 2, 6, 6), torch.arange(48) % 5
    x[torch.arange(48), 0, y, y + 1] += 2
    recipe = Recipe(Prune(sparsity=0.3), Ternary())
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
    assert all(set(np.unique(integers(model.get_submodule(name))[0])) == {-1, 0, 1} for name in ("0", "3"))
    assert equal(model, lower(model, x[:1]), x) == 0


def test_a_threshold_above_all_weights_is_refused():
    model = net()
    nn.init.constant_(model[3].weight, 0.25)
    with pytest.raises(RangeError, match=r"3: no weight is larger than 1 times the mean.*`threshold` below 1"):
        Recipe(Ternary(threshold=1.0)).apply(model, torch.rand(4, 2, 6, 6))
    constant = Recipe(Ternary()).apply(model, torch.rand(4, 2, 6, 6)).get_submodule("3")
    assert (constant.weight == 0.25).all()


def test_zeros_and_one_weight():
    model = net().double()
    nn.init.zeros_(model[0].weight)
    nn.init.zeros_(model[3].weight[1])
    x = torch.rand(8, 2, 6, 6, dtype=torch.float64)
    quantised = Recipe(Ternary()).apply(model, x)
    assert not integers(quantised.get_submodule("0"))[0].any()
    assert not integers(quantised.get_submodule("3"))[0][1].any()
    assert equal(quantised, lower(quantised, x[:1]), x) == 0
    assert TernaryWeights(torch.tensor([[-0.75]]), 0.7, True)(torch.tensor([[-0.75]])).tolist() == [[-0.75]]
