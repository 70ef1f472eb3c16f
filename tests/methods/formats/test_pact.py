"""PACT: the clip, its gradient, the penalty, where clips go."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from intaglio.ir.errors import RecipeError
from intaglio.methods import FixedPoint, Pact, Recipe
from intaglio.methods.formats.pact import LearnedClip
from intaglio.twin.freeze import freeze
from intaglio.twin.lower import equal, lower
from intaglio.twin.quantizers import ActivationQuantizer


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 3)
    )


def clip(bits: int, alpha: float, scale: str = "dyadic") -> LearnedClip:
    return LearnedClip(Pact(bits=bits, alpha=alpha, scale=scale))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("alpha", [0.37, 1.0, 6.3, 100.0])
def test_clip_by_the_formula(bits: int, alpha: float):
    grid, n = clip(bits, alpha), 2**bits - 1
    s, r = float(grid.scale), float(grid.reciprocal)
    assert abs(s * n / alpha - 1) <= 2.0**-8 and abs(s * r - 1) <= 2.0**-8
    x = np.linspace(-alpha, 2 * alpha, 2001)
    found = grid(torch.from_numpy(x)).detach().numpy()
    assert np.array_equal(found, np.clip(np.floor(x * r + 0.5), 0, n) * s)
    exact = np.floor(np.clip(x, 0, alpha) * n / alpha + 0.5) * alpha / n
    assert np.abs(found - exact).max() <= alpha / n + alpha * 2.0**-8  # one level where an edge moved
    assert np.abs(found - exact).mean() <= alpha * 2.0**-8


def test_power_of_two_steps():
    grid = clip(3, 5.0, "power_of_two")
    assert grid.scale == 1 and grid.reciprocal == 1 and float(grid(torch.tensor([9.0])).detach()) == 7


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_of_the_paper(dtype: torch.dtype):
    grid = clip(3, 1.5)
    end = 7 * float(grid.scale)
    below = torch.nextafter(torch.tensor(end, dtype=dtype), torch.tensor(0.0, dtype=dtype))
    x = torch.cat([torch.linspace(-1, 3, 41, dtype=dtype), torch.tensor([end, float(below), 0.0], dtype=dtype)])
    x.requires_grad_()
    torch.manual_seed(0)
    g = torch.randn_like(x)
    grid(x).backward(g)
    seen = x.detach()
    assert torch.equal(x.grad, g * ((seen > 0) & (seen < end)))
    assert float(grid.alpha.grad) == pytest.approx(float(g[seen >= end].sum()), rel=1e-5)
    assert float(g[-3]) != 0 and seen[-3] == end


def test_calibrated_and_stated_clips():
    x = torch.rand(300, 6)
    model = Recipe(Pact(bits=4, calibration="minmax")).apply(net(), x)
    with torch.no_grad():
        largest = torch.relu(net().eval()[:2](x)).max()
    assert float(model.get_submodule("2_quantizer").alpha.detach()) == pytest.approx(float(largest), rel=0.02)
    model = Recipe(Pact(bits=4, alpha=10.0, learn=False)).apply(net(), x)
    alpha = model.get_submodule("4_quantizer").alpha
    assert float(alpha) == 10.0 and not alpha.requires_grad and "4_quantizer.alpha" in model.state_dict()
    assert "4_quantizer.log2_scale" not in model.state_dict()


def test_clips_take_the_place_of_rectifiers_behind_selected_layers():
    x = torch.rand(30, 6)
    model = Recipe(FixedPoint(activation_bits=6), Pact(bits=3, select="3")).apply(net(), x)
    bits = {name: (type(m), m.bits) for name, m in model.named_modules() if isinstance(m, ActivationQuantizer)}
    assert bits == {
        "input_quantizer": (ActivationQuantizer, 8),
        "2_quantizer": (ActivationQuantizer, 6),
        "4_quantizer": (LearnedClip, 3),
        "5_quantizer": (ActivationQuantizer, 6),
    }
    with pytest.raises(RecipeError, match="'5' is never negative"):
        Recipe(Pact(select="5")).apply(net(), x)
    later = Recipe(Pact(bits=3), FixedPoint(activation_bits=5)).apply(net(), x)
    assert not any(isinstance(m, LearnedClip) for m in later.modules())


def test_each_penalty_counts_its_own_clips():
    x = torch.rand(30, 6)
    one, two = Pact(alpha=2.0, penalty=0.5, select="0"), Pact(alpha=3.0, penalty=0.1, select="3")
    model = Recipe(one, two).apply(net(), x)
    assert one.loss(model, x, x).item() == pytest.approx(0.5 * 4)
    assert two.loss(model, x, x).item() == pytest.approx(0.1 * 9)
    two.loss(model, x, x).backward()
    assert float(model.get_submodule("4_quantizer").alpha.grad) == pytest.approx(0.1 * 2 * 3)
    assert Pact(penalty=0.0).loss(model, x, x) == 0.0 == Pact(learn=False).loss(model, x, x)


def test_penalty_pulls_clips_in_and_data_push_them_out():
    torch.manual_seed(1)
    x = torch.rand(64, 6)
    ends = []
    for penalty in (0.0, 1.0):
        method = Pact(bits=4, alpha=0.2, penalty=penalty)
        model = Recipe(FixedPoint(weight_bits=8), method).apply(net(), x).train()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        losses = []
        for _ in range(60):
            optimizer.zero_grad()
            loss = (model(x)[:, 0] - 8 * x[:, 1]).square().mean()
            (loss + method.loss(model, x, x)).backward()
            optimizer.step()
            losses.append(loss.item())
        ends.append(model.get_submodule("4_quantizer").alpha.item())
        assert losses[-1] < 0.4 * losses[0]
        assert equal(model, lower(model, x[:1]), x) == 0
    assert ends[0] > 0.5 and ends[1] < 0.8 * ends[0]


def test_a_clip_below_zero_stays_a_grid():
    x = torch.rand(16, 6)
    model = Recipe(Pact(bits=4)).apply(net(), x)
    for alpha in (-1.0, 0.0, 1e-12):
        model.get_submodule("2_quantizer").alpha.data.fill_(alpha)
        assert math.log2(float(model.get_submodule("2_quantizer").scale) * 15) == pytest.approx(-20, abs=0.01)
        assert bool(torch.isfinite(model(x)).all())


def test_a_narrower_clip_before_it_is_exact():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU6(), nn.Linear(8, 3))
    x = torch.randn(200, 6) * 20
    model = Recipe(Pact(bits=5, alpha=9.0)).apply(model, x)
    assert freeze(model).get_submodule("1_quantizer").high == round(6 / (9 / 31))
    assert equal(model, lower(model, x[:1]), x) == 0


@pytest.mark.parametrize(("knobs", "words"), [
    ({"bits": 0}, "bits = 0"),
    ({"bits": 64}, "bits = 64"),
    ({"alpha": 0.0}, "alpha = 0.0"),
    ({"penalty": -1.0}, "penalty = -1.0"),
])  # fmt: skip
def test_knobs_are_checked(knobs: dict[str, object], words: str):
    with pytest.raises(RecipeError, match=words):
        Pact(**knobs)
