"""Pruning: counts, scopes, schedules."""

import pytest
import torch
from torch import nn

from intaglio.ir.errors import StructureError
from intaglio.methods import FixedPoint, Prune, Recipe
from intaglio.methods.weights.prune import mask_of


def net() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 5))
    with torch.no_grad():
        model[2].weight.mul_(0.01)
    return model


def zeros(model: nn.Module) -> list[int]:
    return [int((model.get_submodule(name).weight == 0).sum()) for name in ("0", "2")]


@pytest.mark.parametrize("sparsity", [0.0, 0.33, 0.9])
def test_exact_counts_per_layer(sparsity: float):
    model = Recipe(Prune(sparsity=sparsity)).apply(net(), torch.rand(4, 10))
    assert zeros(model) == [round(sparsity * 200), round(sparsity * 100)]


def test_global_ranks_all_layers():
    model = Recipe(Prune(sparsity=1 / 3, scope="global")).apply(net(), torch.rand(4, 10))
    assert sum(zeros(model)) == 100 and zeros(model)[1] > 95


def test_lamp_empties_no_layer():
    model = Recipe(Prune(sparsity=0.9, scope="global", score="lamp")).apply(net(), torch.rand(4, 10))
    assert sum(zeros(model)) == 270 and max(zeros(model)[0] / 200, zeros(model)[1] / 100) < 0.97


def test_keeps_the_largest():
    model = net()
    pruned = Recipe(Prune(sparsity=0.5, select="0")).apply(model, torch.rand(4, 10))
    kept = pruned.get_submodule("0").weight != 0
    size = model[0].weight.abs()
    assert size[kept].min() >= size[~kept].max() and zeros(pruned)[1] == 0


def test_cubic_schedule():
    method = Prune(sparsity=0.8, schedule="gradual", begin=0.2, end=0.7, updates=10)
    model = Recipe(method, FixedPoint(weight_bits=8)).apply(net(), torch.rand(4, 10))
    found = {}
    for progress in (0.0, 0.2, 0.45, 0.7, 1.0):
        method.step(model, progress)
        found[progress] = int((mask_of(model.get_submodule("0")).mask == 0).sum())
    assert found == {0.0: 0, 0.2: 0, 0.45: round(200 * 0.8 * (1 - 0.5**3)), 0.7: 160, 1.0: 160}
    method.verify(model)


def test_later_prune_owns_the_mask():
    methods = Prune(sparsity=0.2, schedule="gradual"), Prune(sparsity=0.6, schedule="gradual", select="2")
    model = Recipe(*methods).apply(net(), torch.rand(4, 10))
    for method in methods:
        method.step(model, 1.0)
    assert zeros(model) == [40, 60]


def test_a_replaced_layer_is_noticed():
    method = Prune(sparsity=0.5)
    model = Recipe(method).apply(net(), torch.rand(4, 10))
    model.set_submodule("0", nn.Linear(10, 20))
    with pytest.raises(StructureError, match="0: its pruning mask is gone"):
        method.verify(model)


def test_pruned_weights_get_no_gradient():
    model = Recipe(FixedPoint(), Prune(sparsity=0.5)).apply(net(), torch.rand(4, 10))
    model(torch.rand(4, 10)).sum().backward()
    layer = model.get_submodule("0")
    gradient = layer.parametrizations.weight.original.grad
    assert (gradient[mask_of(layer).mask == 0] == 0).all() and (gradient != 0).any()
