"""DoReFa: the published formulas, odd integers, gradients, scales."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from intaglio.ir.errors import RangeError, RecipeError, StructureError
from intaglio.methods import Dorefa, FixedPoint, Pact, Prune, Recipe
from intaglio.methods.formats.dorefa import DorefaGrid
from intaglio.twin.lower import equal, lower
from intaglio.twin.quantizers import ActivationQuantizer, ClippedQuantizer
from intaglio.twin.stack import grid_of, integers


def weights(rows: int = 6, columns: int = 50) -> Tensor:
    torch.manual_seed(0)
    return torch.randn(rows, columns, dtype=torch.float64)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 3))


def quantize(r: np.ndarray, bits: int) -> np.ndarray:
    """quantize_k of the paper, halves up."""
    n = 2**bits - 1
    return np.floor(n * r + 0.5) / n


@pytest.mark.parametrize("bits", range(2, 9))
def test_weights_by_the_formula(bits: int):
    w = weights()
    t = np.tanh(w.numpy())
    wanted = 2 * quantize(t / (2 * np.abs(t).max()) + 0.5, bits) - 1
    grid = DorefaGrid(w, bits, "unit")
    n, (scale,) = 2**bits - 1, grid.scales()
    found = grid(w).numpy()
    q = np.rint(found / float(scale))
    assert np.array_equal(q * float(scale), found)
    assert np.array_equal(q, np.rint(wanted * n)) and (q % 2 == 1).all() and abs(q).max() == n == grid.high
    assert abs(float(scale) * n - 1) <= 2.0**-8 and scale.denominator & (scale.denominator - 1) == 0
    assert scale.numerator.bit_length() <= 8


def test_one_bit_is_the_sign_times_the_mean():
    w = weights()
    w[0, 0] = 0.0
    grid = DorefaGrid(w, 1, "unit").eval()
    (scale,) = grid.scales()
    assert float(scale) == pytest.approx(float(w.abs().mean()), rel=2.0**-8)
    assert torch.equal(grid(w), torch.where(w >= 0, 1.0, -1.0).double() * float(scale))
    with torch.no_grad():
        assert float(grid(w * 3).abs().max()) == float(scale)
        grid.train()(w * 4)
    assert grid.scales() == (scale * 4,)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_least_squares(bits: int):
    w = weights()
    grid = DorefaGrid(w, bits, "least_squares")
    (scale,) = grid.scales()
    q = grid(w) / float(scale)

    def error(s: float) -> float:
        return float((w - s * q).square().sum())

    best = float((w * q).sum() / (q * q).sum())
    assert float(scale) == pytest.approx(best, rel=2.0**-8)
    assert error(best) < min(error(best * 1.01), error(best * 0.99)) and error(float(scale)) < error(best * 1.01)


@pytest.mark.parametrize("bits", [1, 2, 5])
def test_weight_gradient(bits: int):
    w = weights().requires_grad_()
    torch.manual_seed(1)
    g = torch.randn_like(w)
    grid = DorefaGrid(w.detach(), bits, "unit")
    (found,) = torch.autograd.grad(grid(w), w, g)
    t = torch.tanh(w.detach())
    n, s = 2**bits - 1, float(grid.scales()[0])
    wanted = g if bits == 1 else g * (1 - t * t) / t.abs().max() * (n * s)  # n s is 1 but for the snapped scale
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_activations_by_the_formula(bits: int):
    model = Recipe(Dorefa(activation_bits=bits)).apply(net(), torch.rand(20, 6))
    clip = model.get_submodule("2_quantizer")
    assert isinstance(clip, ClippedQuantizer) and clip.scale.numerator.bit_length() <= 8
    a = torch.linspace(-1, 2, 2000).requires_grad_()
    y = clip(a)
    y.sum().backward()
    n = 2**bits - 1
    wanted = quantize(np.clip(a.detach().double().numpy(), 0, 1), bits)
    found = y.detach().double().numpy()
    q = np.clip(np.floor(a.detach().double().numpy() * float(clip.reciprocal) + 0.5), 0, n)
    assert np.array_equal(found, q * float(clip.scale)) and abs(float(clip.reciprocal) / n - 1) <= 2.0**-7
    assert np.abs(found - wanted).max() <= 1 / n + 2.0**-8  # one level where an edge moved, and the snapped scale
    assert np.abs(found - wanted).mean() <= 2.0**-8
    end = n * float(clip.scale)
    assert abs(end - 1) <= 2.0**-8 and set(y.tolist()) == {k * float(clip.scale) for k in range(n + 1)}
    assert torch.equal(a.grad, ((a > 0) & (a < end)).float())


def test_signed_activations_and_none_stay_as_they_are():
    model = Recipe(Dorefa(activation_bits=3)).apply(net(), torch.rand(20, 6))
    kinds = {name: type(m) for name, m in model.named_modules() if isinstance(m, ActivationQuantizer)}
    assert kinds == {
        "input_quantizer": ActivationQuantizer,
        "2_quantizer": ClippedQuantizer,
        "3_quantizer": ActivationQuantizer,
    }
    model = Recipe(FixedPoint(activation_bits=5), Dorefa(activation_bits=None)).apply(net(), torch.rand(20, 6))
    assert model.get_submodule("2_quantizer").bits == 5
    both = Recipe(Dorefa(weight_bits=3, activation_bits=None), Pact(bits=2)).apply(net(), torch.rand(20, 6))
    assert grid_of(both.get_submodule("3")).bits == 3 and both.get_submodule("2_quantizer").bits == 2


@pytest.mark.parametrize("scale", ["unit", "least_squares"])
@pytest.mark.parametrize("bits", [1, 3])
def test_structure_and_equality_after_training(scale: str, bits: int):
    torch.manual_seed(2)
    x = torch.rand(64, 6)
    model = Recipe(Dorefa(weight_bits=bits, activation_bits=2, scale=scale)).apply(net(), x).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = (model(x)[:, 0] - 3 * x[:, 1]).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    for name in ("0", "3", "4"):
        whole, (s,) = integers(model.get_submodule(name))
        assert (whole % 2 == 1).all() and abs(whole).max() == 2**bits - 1
        assert (s == Fraction(73, 512)) == (scale == "unit" and bits == 3)
    assert equal(model, lower(model, x[:1]), x) == 0


@pytest.mark.parametrize(("knobs", "words"), [
    ({"weight_bits": 0}, "weight_bits = 0"),
    ({"weight_bits": 64}, "weight_bits = 64"),
    ({"activation_bits": 0}, "activation_bits = 0"),
    ({"scale": "mean"}, "scale = 'mean'"),
])  # fmt: skip
def test_knobs_are_checked(knobs: dict[str, object], words: str):
    with pytest.raises(RecipeError, match=words):
        Dorefa(**knobs)


def test_no_zero():
    model = net()
    with torch.no_grad():
        model[3].weight.zero_()
    with pytest.raises(RangeError, match="3: all weights are zero"):
        Recipe(Dorefa()).apply(model, torch.rand(8, 6))
    Recipe(Dorefa(select=("0", "4"))).apply(model, torch.rand(8, 6))
    with pytest.raises(StructureError, match="no longer zero"):
        Recipe(Prune(sparsity=0.5), Dorefa()).apply(net(), torch.rand(8, 6))
