"""Learned bit widths: rounding, widths, gradients, penalty, structure."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from intaglio.ir.errors import RecipeError
from intaglio.methods import FixedPoint, LearnedBits, Prune, Recipe
from intaglio.methods.formats.learned_bits import UNIT, FractionalGrid, average_bits, power_of_two
from intaglio.twin.lower import equal, lower
from intaglio.twin.stack import before_grid, grid_of, integers

granularities = pytest.mark.parametrize("granularity", ["layer", "channel", "weight"])


def weights() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(5, 3, 4, dtype=torch.float64) * torch.tensor([1.0, 0.3, 2.0, 0.01, 0.0]).reshape(5, 1, 1)


def grid_with(f: Tensor, weight: Tensor, granularity: str) -> FractionalGrid:
    """A grid with these fractional bits."""
    grid = FractionalGrid(weight, granularity, 8)
    with torch.no_grad():
        grid.fraction.copy_(f.reshape(grid.fraction.shape) / UNIT)
    return grid


def some_fractions(granularity: str) -> Tensor:
    torch.manual_seed(1)
    count = {"layer": 1, "channel": 5, "weight": 60}[granularity]
    return torch.rand(count, dtype=torch.float64) * 8 - 2.5


def per_weight(f: Tensor, granularity: str) -> np.ndarray:
    """One number of fractional bits for each weight, rounded."""
    shape = {"layer": (1, 1, 1), "channel": (5, 1, 1), "weight": (5, 3, 4)}[granularity]
    return np.broadcast_to(np.rint(f.numpy().reshape(shape)), (5, 3, 4))


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(24, 3)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_powers_of_two_are_exact(dtype: torch.dtype):
    exponents = torch.arange(-126, 127)
    assert power_of_two(exponents.to(dtype), dtype).tolist() == [2.0**k for k in range(-126, 127)]
    assert power_of_two(exponents, dtype).dtype == dtype


@granularities
def test_rounding_by_the_formula(granularity: str):
    w, f = weights(), some_fractions(granularity)
    grid = grid_with(f, w, granularity)
    step = 2.0 ** -per_weight(f, granularity)
    assert np.array_equal(grid(w).detach().numpy(), np.floor(w.numpy() / step + 0.5) * step)
    assert torch.equal(grid(w.float()).double(), grid(w)) or granularity == "weight"
    assert grid.scales() == (Fraction(2) ** -int(per_weight(f, granularity).max()),)
    limit = 2.0 ** (math.ceil(math.log2(float(w.abs().max()))) + 1)
    assert float(w.abs().max()) * 2 <= limit <= float(w.abs().max()) * 4
    assert grid(w * 100).abs().max().item() == limit


@granularities
def test_gradients_by_the_formula(granularity: str):
    w, f = weights().requires_grad_(), some_fractions(granularity)
    grid = grid_with(f, w.detach(), granularity)
    with torch.no_grad():
        w[0, 0, :2] = torch.tensor([100.0, -100.0])
    torch.manual_seed(2)
    g = torch.randn_like(w)
    y = grid(w)
    dw, df = torch.autograd.grad(y, [w, grid.fraction], g)
    inside = (w.detach().abs() < 2.0 ** int(grid.exponent)).double()
    assert torch.equal(dw, g * inside) and inside.sum() == 58
    each = math.log(2) * (w - y).detach() * g * inside
    groups = each.reshape(df.numel(), -1).sum(1)
    torch.testing.assert_close(df.flatten() / UNIT, groups, rtol=1e-12, atol=1e-15)


@granularities
def test_bits_by_the_formula(granularity: str):
    w, f = weights(), some_fractions(granularity)
    grid = grid_with(f, w, granularity)
    q = np.floor(w.numpy() * 2.0 ** per_weight(f, granularity) + 0.5).astype(int).reshape(grid.fraction.numel(), -1)
    wanted = [int(abs(row).max()).bit_length() + 1 if row.any() else 0 for row in q]
    assert grid.bits(w).flatten().tolist() == wanted and 0 in (*wanted, len(wanted) - 1)
    total = grid.total_bits(w)
    assert total.item() == sum(wanted) * q.shape[1]
    total.backward()
    assert (grid.fraction.grad.flatten() / UNIT).tolist() == [q.shape[1] * (b > 0) for b in wanted]


@pytest.mark.parametrize("bits", [2, 5, 8])
def test_initial_bits_are_those_of_the_largest_weight(bits: int):
    w = weights()[:3] * 0.9
    assert abs(int(FractionalGrid(w, "layer", bits).bits(w)) - bits) <= 1
    assert all(abs(b - bits) <= 1 for b in FractionalGrid(w, "channel", bits).bits(w).flatten().tolist())
    assert abs(int(FractionalGrid(w, "weight", bits).bits(w).max()) - bits) <= 1


def test_zero_bits_prune_and_integers_stay_within_bounds():
    w = weights()
    grid = grid_with(torch.tensor([-100.0, 3, 100, 6, 2]), w, "channel")
    grid.project()
    y = grid(w)
    assert not y[0].any() and y[1].any()
    (scale,) = grid.scales()
    assert scale == Fraction(2) ** -(13 - int(grid.exponent))
    assert (grid(w * 1e6) / float(scale)).abs().max().item() <= grid.high
    assert grid.bits(w)[0].item() == 0 == grid.bits(w)[4].item()


@granularities
def test_tightening_changes_no_weight_and_leaves_no_idle_bit(granularity: str):
    w = weights()
    grid = grid_with(some_fractions(granularity) + 2, w, granularity)
    before = grid(w).detach()
    grid.tighten(w)
    assert torch.equal(grid(w), before)
    q = (grid(w).detach().numpy() * 2.0 ** per_weight(grid.fractional_bits(), granularity)).astype(int)
    for row in q.reshape(grid.fraction.numel(), -1):
        assert not row.any() or (row % 2).any()
    tight = grid.state_dict()
    grid.tighten(w)
    assert all(torch.equal(v, tight[k]) for k, v in grid.state_dict().items())


def test_penalty_is_the_average_above_the_target():
    x = torch.rand(8, 1, 6, 6)
    method = LearnedBits(target_bits=2.0, penalty=0.5)
    model = Recipe(method).apply(net(), x)
    sizes = {"0": 54, "5": 72}
    widths = {name: grid_of(model.get_submodule(name)).bits(before_grid(model.get_submodule(name))) for name in sizes}
    wanted = sum(float(widths[name].double().mean()) * size for name, size in sizes.items()) / sum(sizes.values())
    assert average_bits(model) == pytest.approx(wanted)
    loss = method.loss(model, x, x)
    assert loss.item() == pytest.approx(0.5 * (wanted - 2))
    loss.backward()
    gradient = grid_of(model.get_submodule("0")).fraction.grad
    assert gradient.flatten().tolist() == pytest.approx([0.5 * UNIT * 9 / 126] * 6)
    assert method.replaced(penalty=0.0).loss(model, x, x) == 0.0
    assert average_bits(Recipe(FixedPoint()).apply(net(), x)) == 0
    met = LearnedBits(target_bits=12.0)
    assert met.loss(Recipe(met).apply(net(), x), x, x).item() == 0


def test_methods_penalise_their_own_layers():
    x = torch.rand(8, 1, 6, 6)
    one, two = LearnedBits(target_bits=0, penalty=1, select="0"), LearnedBits(target_bits=0, penalty=1, initial_bits=4)
    model = Recipe(one, two.replaced(select="5")).apply(net(), x)
    assert one.loss(model, x, x).item() == pytest.approx(8, abs=1) and two.loss(model, x, x) == 0.0
    assert two.replaced(select="5").loss(model, x, x).item() == pytest.approx(4, abs=1)


def test_a_step_keeps_widths_within_their_ends():
    x = torch.rand(8, 1, 6, 6)
    method = LearnedBits(granularity="layer")
    model = Recipe(method).apply(net(), x)
    grid = grid_of(model.get_submodule("0"))
    for value, end in ((-99.0, -int(grid.exponent) - 2), (99.0, 13 - int(grid.exponent))):
        grid.fraction.data.fill_(value)
        method.step(model, 0.5)
        assert grid.fraction.item() * UNIT == end == grid.fractional_bits().item()


@granularities
def test_training_meets_the_target(granularity: str):
    torch.manual_seed(1)
    x, y = torch.rand(64, 1, 6, 6), torch.randint(3, (64,))
    x.view(64, 3, 12)[torch.arange(64), y] += 0.5
    method = LearnedBits(granularity=granularity, target_bits=2.5, penalty=0.5)
    model = Recipe(method).apply(net(), x).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.015)
    for k in range(100):
        method.step(model, k / 100)
        optimizer.zero_grad()
        (nn.functional.cross_entropy(model(x), y) + method.loss(model, x, y)).backward()
        optimizer.step()
    assert average_bits(model) <= 3
    before = {name: model.get_submodule(name).weight.detach() for name in ("0", "5")}
    method.step(model, 1.0)
    assert all(torch.equal(model.get_submodule(name).weight, value) for name, value in before.items())
    assert average_bits(model) <= 3
    model.eval()
    assert (model(x).argmax(1) == y).float().mean() > 0.85
    for name in ("0", "5"):
        whole, (scale,) = integers(model.get_submodule(name))
        grid = grid_of(model.get_submodule(name))
        finest = grid.fractional_bits().max()
        steps = 2 ** (finest - grid.fractional_bits()).expand(whole.shape).numpy().astype(int)
        assert scale == Fraction(2) ** -int(finest) and not (whole % steps).any() and abs(whole).max() <= grid.high
    assert equal(model, lower(model, x[:1]), x) == 0


def test_pruned_weights_stay_zero_and_cost_nothing():
    x = torch.rand(8, 1, 6, 6)
    methods = Prune(sparsity=0.75), LearnedBits(granularity="weight")
    for order in (methods, methods[::-1]):
        model = Recipe(*order).apply(net(), x)
        for name in ("0", "5"):
            layer = model.get_submodule(name)
            bits = grid_of(layer).bits(before_grid(layer))
            assert (bits == 0).double().mean() >= 0.74 and not integers(layer)[0][bits.numpy() == 0].any()


@pytest.mark.parametrize(("knobs", "words"), [
    ({"initial_bits": 0}, "initial_bits = 0"),
    ({"initial_bits": 64}, "initial_bits = 64"),
    ({"target_bits": -1.0}, "target_bits = -1.0"),
    ({"granularity": "row"}, "granularity = 'row'"),
    ({"penalty": -0.1}, "penalty = -0.1"),
])  # fmt: skip
def test_knobs_are_checked(knobs: dict[str, object], words: str):
    with pytest.raises(RecipeError, match=words):
        LearnedBits(**knobs)
