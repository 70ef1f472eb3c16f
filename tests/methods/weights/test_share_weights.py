"""Weight sharing: k-means, gradients of shared values, zeros, what formats do to it."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from intaglio.ir.errors import RecipeError, StructureError
from intaglio.methods import FixedPoint, LearnedBits, Prune, Recipe, ShareWeights
from intaglio.methods.weights import share_weights
from intaglio.methods.weights.share_weights import Codebook, codebook_of
from intaglio.train import load_weights, save_weights
from intaglio.twin.lower import equal, lower
from intaglio.twin.stack import integers


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 40), nn.ReLU(), nn.Linear(40, 6))


def data() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(5)
    x = torch.rand(64, 12)
    return x, x[:, :6].argmax(1)


def test_values_are_the_means_of_the_weights_nearest_to_them():
    weight = torch.randn(30, 40)
    found = Codebook(weight, 7)
    values, codes = found.values.detach(), found.codes
    assert torch.equal(values, values.sort().values) and len(codes.unique()) == 7
    assert torch.equal(codes, (weight[:, :, None] - values).abs().argmin(2))
    means = torch.stack([weight[codes == k].double().mean() for k in range(7)])
    assert torch.allclose(means, values.double(), atol=1e-6)
    assert torch.equal(found(weight), values[codes])


def test_values_start_evenly_spaced_between_the_ends(monkeypatch):
    monkeypatch.setattr(share_weights, "STEPS", 0)
    weight = torch.tensor([[-1.0, 0.0, 0.1, 3.0]])
    assert Codebook(weight, 5).values.tolist() == [-1.0, 0.0, 1.0, 2.0, 3.0]


def test_the_gradient_of_a_value_is_the_sum_over_its_cluster():
    weight = torch.randn(8, 9)
    weight[0, :4] = 0
    found, factor = Codebook(weight, 4), torch.randn(8, 9)
    (found(weight) * factor).sum().backward()
    sums = [float(factor[(found.codes == k) & (weight != 0)].sum()) for k in range(4)]
    assert found.values.grad.tolist() == pytest.approx(sums, abs=1e-5)


def test_few_and_equal_weights_are_kept_exactly():
    weight = torch.tensor([[0.5, -0.25, 0.5], [0.0, -0.25, 0.5]])
    assert torch.equal(Codebook(weight, 16)(weight), weight)
    assert torch.equal(Codebook(torch.zeros(2, 2), 4)(torch.zeros(2, 2)), torch.zeros(2, 2))


@pytest.mark.parametrize("first", [True, False], ids=["pruned first", "shared first"])
def test_pruned_weights_stay_zero_while_values_are_trained(first, tmp_path):
    x, y = data()
    methods = [Prune(sparsity=0.7), ShareWeights(clusters=5)]
    recipe = Recipe(*(methods if first else methods[::-1]), FixedPoint(weight_bits=6))
    model = recipe.apply(net(), x)
    start = F.cross_entropy(model(x), y).item()
    shared = [model.get_submodule(name).parametrizations["weight"] for name in ("0", "2")]
    optimizer = torch.optim.Adam([values for part in shared for values in part.parameters()], lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    recipe.verify(model)
    assert F.cross_entropy(model(x), y).item() < start - 0.02
    for name in ("0", "2"):
        whole, _ = integers(model.get_submodule(name))
        assert (whole == 0).mean() >= 0.69 and 2 <= len(np.unique(whole)) <= 6
    assert equal(model, lower(model, x[:1]), x) == 0
    save_weights(model, tmp_path / "a.safetensors")
    again = load_weights(recipe.apply(net(), x[:4]), tmp_path / "a.safetensors")
    assert lower(again, x[:1]) == lower(model, x[:1])


def test_sharing_again_makes_the_codebook_anew_and_gradual_pruning_goes_on():
    x, _ = data()
    model = Recipe(ShareWeights(clusters=32), ShareWeights(clusters=3)).apply(net(), x)
    assert len(codebook_of(model.get_submodule("0")).values) == 3
    assert len(model.get_submodule("0").parametrizations["weight"]) == 1
    gradual = Prune(sparsity=0.5, schedule="gradual")
    model = Recipe(gradual, ShareWeights(clusters=3)).apply(net(), x)
    gradual.step(model, 1.0)
    assert float((model.get_submodule("0").weight == 0).float().mean()) == pytest.approx(0.5, abs=0.01)


def test_formats_that_part_shared_values_are_refused():
    x, _ = data()
    fixed, learned = FixedPoint(weight_bits=8, per_channel=True), LearnedBits(initial_bits=4)
    for format_, word in ((fixed, "per_channel"), (learned, "granularity")):
        recipe, rows = Recipe(ShareWeights(clusters=8), format_), net()
        rows[0].weight.data *= torch.linspace(0.02, 1, 40)[:, None]  # channels of different sizes
        with pytest.raises(StructureError, match=rf"0: its weights take more than 8 values.*{word}"):
            recipe.apply(rows, x)
    model = copy.deepcopy(Recipe(ShareWeights()).apply(net(), x))
    model.get_submodule("0").parametrizations["weight"][0] = nn.Identity()
    with pytest.raises(StructureError, match="0: its codebook is gone"):
        ShareWeights().verify(model)
    with pytest.raises(RecipeError, match="clusters"):
        ShareWeights(clusters=0)
