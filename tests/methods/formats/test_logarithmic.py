"""Logarithmic weights and activations: formula, structure, gradients, ranges, equality with the Graph."""

import copy
import math
from bisect import bisect_right
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from intaglio.ir.errors import RangeError, RecipeError
from intaglio.ir.ops import Lookup, Threshold
from intaglio.methods import FixedPoint, Logarithmic, Prune, Recipe
from intaglio.methods.formats.logarithmic import EDGE, HALF_EDGES, LogGrid, LogQuantizer
from intaglio.train import load_weights, save_weights
from intaglio.twin.lower import equal, lower
from intaglio.twin.quantizers import ActivationQuantizer
from intaglio.twin.stack import grid_of, integers
from intaglio.twin.uneven import binade, nearest_power


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 8),
        nn.ReLU(), nn.Linear(8, 3),
    )  # fmt: skip


def data(count: int = 64) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    x = torch.rand(count, 1, 6, 6)
    return x, x.reshape(count, 3, 12).sum(2).argmax(1)


def nearest(value: float, levels: list[float]) -> float:
    """The level nearest to a magnitude in the logarithm, the larger of two that are equally near; 0 has none."""
    near = min(levels, key=lambda level: (abs(math.log2(abs(value)) - math.log2(level)), -level))
    return math.copysign(near, value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_powers_of_two_by_the_bits(dtype: torch.dtype):
    torch.manual_seed(0)
    x = torch.randn(20000, dtype=dtype) * torch.exp2(torch.randint(-30, 30, (20000,)).to(dtype))
    expected = [math.copysign(2.0 ** round(math.log2(abs(v))), v) for v in x.tolist()]
    assert nearest_power(x, EDGE).tolist() == expected
    assert binade(x.abs()).tolist() == [2.0 ** math.floor(math.log2(abs(v))) for v in x.tolist()]
    assert nearest_power(torch.tensor([0.0, -0.0], dtype=dtype), EDGE).tolist() == [0, 0]
    assert nearest_power(torch.tensor([math.nan], dtype=dtype), EDGE).isnan().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_edge_belongs_to_the_level_above(dtype: torch.dtype):
    edge = torch.tensor([EDGE, -EDGE], dtype=dtype) * 8
    below = torch.nextafter(edge, torch.zeros_like(edge))
    assert nearest_power(edge, EDGE).tolist() == [16, -16]
    assert nearest_power(edge, EDGE, half_up=True).tolist() == [16, -8]
    assert nearest_power(below, EDGE, half_up=True).tolist() == nearest_power(below, EDGE).tolist() == [8, -8]
    assert abs(EDGE / math.sqrt(2) - 1) < 2.0**-24
    assert [abs(e / math.sqrt(s) - 1) < 2.0**-24 for e, s in zip(HALF_EDGES, (1.5, 3), strict=True)] == [True, True]


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("base", [2, "sqrt2"])
@pytest.mark.parametrize("zero", [True, False])
def test_weights_by_the_formula(bits: int, base: int | str, zero: bool):
    weight = torch.randn(8, 60, dtype=torch.float64).mul_(torch.randn(8, 60).exp())
    weight[0, 0] = 0.0
    grid = Logarithmic(bits=bits, base=base, zero=zero).weight_grid(weight, "layer")
    scale = float(grid.scales()[0])
    count = 2 ** (bits - 1) - zero
    ladder = [2.0**k for k in range(count)] if base == 2 else [v for k in range(count) for v in (2.0**k, 1.5 * 2.0**k)]
    levels = [scale * v * (1 if base == 2 else 2) for v in ladder[:count]]
    below = levels[0] / 2 if base == 2 else levels[0] * 0.75
    for value, found in zip(weight.flatten().tolist(), grid(weight).flatten().tolist(), strict=True):
        if value == 0:
            assert found == (0 if zero else levels[0])
            continue
        expected = nearest(value, [*([below] if zero else []), *levels])
        assert found == (0 if zero and abs(expected) == below else expected)


def test_miyashitas_formula_with_a_given_range():
    weight = torch.randn(4, 50, dtype=torch.float64)
    grid = Logarithmic(bits=4, full_scale=1).weight_grid(weight, "layer")
    for value, found in zip(weight.flatten().tolist(), grid(weight).flatten().tolist(), strict=True):
        exponent = min(round(math.log2(abs(value))), 1)
        assert found == (0.0 if exponent <= 1 - 7 else math.copysign(2.0**exponent, value))


@pytest.mark.parametrize("calibration", ["minmax", "percentile", "mse"])
def test_ranges_per_channel(calibration: str):
    weight = torch.randn(3, 4000, dtype=torch.float64) * torch.tensor([[1.0], [0.1], [30.0]])
    method = Logarithmic(bits=3, per_channel=True, calibration=calibration)
    grid = method.weight_grid(weight, "layer")
    top = weight.abs().amax(1) / torch.tensor([float(s) * grid.high for s in grid.scales()])
    assert (top < EDGE if calibration == "minmax" else top < 8).all() and (top > 0.7).all()
    assert len({*grid.scales()}) == 3


def test_least_squares_is_best():
    weight = torch.randn(1, 3000, dtype=torch.float64)
    errors = {}
    best = Logarithmic(bits=3).weight_grid(weight, "layer")
    for full_scale in range(-3, 4):
        grid = Logarithmic(bits=3, full_scale=full_scale).weight_grid(weight, "layer")
        errors[grid.scales()[0]] = float((grid(weight) - weight).square().sum())
    assert errors[best.scales()[0]] == min(errors.values())


def test_integers_are_signed_powers_of_two():
    x, _ = data()
    for base, odd in ((2, {1}), ("sqrt2", {1, 3})):
        model = Recipe(Logarithmic(bits=5, base=base, per_channel=True)).apply(net(), x)
        for name in ("0", "5", "7"):
            whole, _ = integers(model.get_submodule(name))
            magnitudes = np.abs(whole[whole != 0])
            assert set((magnitudes // (magnitudes & -magnitudes)).tolist()) <= odd


@pytest.mark.parametrize("channels", [1, 3])
def test_gradients_pass_below_the_edge_above_the_largest_level(channels: int):
    grid = LogGrid(3, 2, True, "power_of_two", torch.full((channels,), -2.0), True)
    weight = torch.tensor([[-1.5, -1.4, 0.0], [0.01, 1.4, 1.5], [2.0, 0.3, -9.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad((grid(weight) * torch.arange(1.0, 10).reshape(3, 3)).sum(), [weight])
    assert gradient.tolist() == [[0, 2, 3], [4, 5, 0], [0, 8, 0]]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["power_of_two", "dyadic"])
def test_gradients_of_scales_are_those_of_lsq(channels: int, kind: str):
    torch.manual_seed(0)
    weight, upstream = torch.randn(2, 3, 50, dtype=torch.float64).unbind()
    log2 = torch.linspace(-2.6, -1.1, channels, dtype=torch.float64)
    grid = LogGrid(3, "sqrt2", True, kind, log2, True)
    scale = torch.tensor([float(s) for s in grid.scales()], dtype=torch.float64).reshape(-1, 1).requires_grad_()
    t = weight / scale.detach()
    error = torch.where(t.abs() < grid.limit, grid.whole(t) - t, grid.whole(t))  # d/ds of s * (w/s + constant)
    expected = (upstream * error * scale.detach() * math.log(2)).reshape(channels, -1).sum(1)
    damping = math.sqrt(weight.numel() / channels * grid.high)
    (found,) = torch.autograd.grad((grid(weight) * upstream).sum(), [grid.log2_scale])
    torch.testing.assert_close(found, expected / damping, rtol=1e-2, atol=1e-3)


def test_gradients_of_activations():
    x = torch.tensor([-0.5, 0.0, 0.3, 1.0, 5.0, 90.0, 91.0], dtype=torch.float64, requires_grad=True)
    unsigned, signed = LogQuantizer(3, False), LogQuantizer(4, True)
    assert torch.autograd.grad(unsigned(x).sum(), [x])[0].tolist() == [1, 1, 1, 1, 1, 1, 0]
    assert torch.autograd.grad(signed(-x).sum(), [x])[0].tolist() == [-1, -1, -1, -1, -1, -1, 0]


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("signed", [False, True])
def test_activations_agree_with_levels_and_edges(bits: int, signed: bool):
    torch.manual_seed(0)
    quantizer = LogQuantizer(bits, signed, -2.0)
    magnitudes = [0, *(2**k for k in range(2 ** (bits - signed) - 1))]
    assert quantizer.levels() == tuple(sorted({*magnitudes, *(-m for m in magnitudes)} if signed else magnitudes))
    exact = [float(edge) for edge in quantizer.edges()]
    x = torch.randn(4000, dtype=torch.float64).mul_(2 * torch.randn(4000).exp())
    edges = torch.tensor(exact, dtype=torch.float64)
    assert torch.equal(edges, edges.float().double())  # float32 compares with the same numbers
    x = torch.cat([x, edges, torch.nextafter(edges, edges - 1), torch.nextafter(edges, edges + 1)])
    for low, high in ((quantizer.low, quantizer.high), (0, quantizer.high - 1), (1, quantizer.high)):
        quantizer.low, quantizer.high = low, max(high, low)
        levels, begins, scale = quantizer.levels(), quantizer.edges(), float(quantizer.scale)
        assert quantizer(x).tolist() == [levels[bisect_right(begins, v)] * scale for v in x.tolist()]
        assert [quantizer.quantize(Fraction(v)) * scale for v in x.tolist()[:20]] == quantizer(x[:20]).tolist()


def test_activation_levels_by_the_formula():
    quantizer = LogQuantizer(4, False, -6.0)
    x = torch.rand(3000, dtype=torch.float64).mul_(300)
    for value, found in zip(x.tolist(), quantizer(x).tolist(), strict=True):
        exponent = round(math.log2(value))
        assert found == (0.0 if exponent < -6 else 2.0 ** min(exponent, 8))


def test_signed_only_where_no_rectifier_is():
    x, _ = data()
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))
    model = Recipe(Logarithmic(activation_bits=3)).apply(model, x)
    found = [module for module in model.modules() if isinstance(module, LogQuantizer)]
    assert [(q.low, q.high) for q in found] == [(-4, 4), (0, 64)]
    assert [q.scale.denominator.bit_count() for q in found] == [1, 1]


@pytest.mark.parametrize(
    "knobs",
    [
        {},
        {"activation_bits": 3},
        {"weight_scale": "dyadic", "bits": 3},
        {"activation_bits": 4, "base": "sqrt2", "bits": 3},
    ],
)
@pytest.mark.parametrize("trained", [False, True])
def test_torch_equals_the_graph(knobs: dict[str, object], trained: bool):
    x, y = data()
    recipe = Recipe(Logarithmic(**knobs))
    model = recipe.apply(net(), x)
    if trained:
        train(model, x, y, 6)
    graph = lower(model, x[:1])
    assert equal(model, graph, x) == 0
    kinds = [type(node.op) for node in graph.nodes]
    if "activation_bits" in knobs:
        assert Lookup in kinds and Threshold in kinds
        tables = [set(node.op.table.ravel().tolist()) for node in graph.nodes if isinstance(node.op, Lookup)]
        assert all(value == 0 or value & (value - 1) == 0 for table in tables for value in table)


def train(model: nn.Module, x: Tensor, y: Tensor, steps: int) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model.train()(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_training_lowers_the_loss():
    x, y = data(96)
    losses = train(Recipe(Logarithmic(bits=3, activation_bits=3)).apply(net(), x), x, y, 60)
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:3])


def test_a_range_that_leaves_nothing():
    x, _ = data()
    with pytest.raises(
        RangeError, match=r"5: every weight would become zero: the largest is 0\.2.* 1024; .*full_scale"
    ):
        Recipe(Logarithmic(bits=2, select="5", full_scale=10)).apply(net(), x)
    model = net()
    model[5].weight.data.mul_(1e-36)
    with pytest.raises(RangeError, match=r"5: every weight would become zero.*`select`"):
        Recipe(Logarithmic()).apply(model, x)
    with pytest.raises(RecipeError, match="bits"):
        Logarithmic(bits=1)


def test_zeros_constants_and_a_single_weight():
    method = Logarithmic(per_channel=True)
    weight = torch.tensor([[0.0, 0.0], [0.3, 0.3]])
    assert method.weight_grid(weight, "layer")(weight).tolist() == [[0, 0], [0.25, 0.25]]
    zeros = torch.zeros(3, 2)
    assert Logarithmic().weight_grid(zeros, "layer")(zeros).tolist() == zeros.tolist()
    single = torch.tensor([[-0.7]])
    assert Logarithmic(bits=2).weight_grid(single, "layer")(single).tolist() == [[-0.5]]
    tiny = torch.tensor([[1.0, 0.5], [1e-20, 1e-20]])
    grid = method.weight_grid(tiny, "layer")
    assert grid.scales()[0] / grid.scales()[1] == 2**10  # a common grid of bounded width


def test_pruned_weights_stay_zero():
    x, _ = data()
    model = Recipe(Prune(sparsity=0.5), Logarithmic()).apply(net(), x)
    whole, _ = integers(model.get_submodule("5"))
    assert (whole == 0).mean() >= 0.5
    Recipe(FixedPoint(), Logarithmic(activation_bits=3), Prune(sparsity=0.5)).apply(net(), x)


def test_copies_files_and_precisions_agree(tmp_path):
    x, y = data()
    recipe = Recipe(FixedPoint(select="7"), Logarithmic(select=("0", "5"), per_channel=True, activation_bits=4))
    model = recipe.apply(net(), x)
    train(model, x, y, 3)
    graph = lower(model, x[:1])
    assert lower(copy.deepcopy(model).double(), x[:1]) == graph
    save_weights(model, tmp_path / "a.safetensors")
    again = load_weights(recipe.apply(net(), 3 * x), tmp_path / "a.safetensors")
    assert lower(again, x[:1]) == graph
    assert torch.equal(model.eval()(x), model(x))
    double = recipe.apply(net().double(), x.double())
    assert equal(double, lower(double, x[:1]), x) == 0


def test_a_later_fixed_point_wins():
    x, _ = data()
    model = Recipe(Logarithmic(activation_bits=3), FixedPoint()).apply(net(), x)
    assert not any(isinstance(module, LogGrid | LogQuantizer) for module in model.modules())
    assert isinstance(grid_of(model.get_submodule("0")), nn.Module)
    assert any(isinstance(module, ActivationQuantizer) for module in model.modules())
