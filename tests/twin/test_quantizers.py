"""Grids, scales, calibration, and the hand-written gradients."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from intaglio.ir.affine import unit
from intaglio.twin.calibrate import log2_scale
from intaglio.twin.grid import mantissa_bits, round_mantissa, snap
from intaglio.twin.quantizers import ActivationQuantizer, Grid, WeightQuantizer


def test_snapped_scales_are_dyadic():
    logs = np.linspace(-9, 4, 200)
    for mantissa in (1, 4, 8):
        scales = snap(logs, mantissa)
        for log, scale in zip(logs, scales, strict=True):
            value = Fraction(float(scale))
            odd = value.numerator // (value.numerator & -value.numerator)
            assert odd.bit_length() <= mantissa
            assert abs(float(scale) / 2**log - 1) <= (2**0.5 - 1 if mantissa == 1 else 2.0**-mantissa) + 1e-12


def test_round_mantissa():
    assert list(round_mantissa(np.array([1 / 3, 0.0, -5.5]), 3)) == [0.3125, 0.0, -6.0]


def test_wide_integers_get_short_mantissas():
    assert [mantissa_bits("dyadic", bits) for bits in (2, 8, 12, 15, 16)] == [8, 8, 4, 1, 1]


def test_unit():
    values = [Fraction(3, 8), Fraction(0), Fraction(-9, 4)]
    assert unit(values) == Fraction(3, 8) and unit([Fraction(0)]) == 1


def test_rounds_half_up():
    quantizer = ActivationQuantizer(4, True, "power_of_two", -1.0)
    x = torch.tensor([-4.1, -0.75, -0.25, 0.25, 0.75, 3.4, 9.0], dtype=torch.float64)
    assert (quantizer(x) * 2).tolist() == [-8, -1, 0, 1, 2, 7, 7]
    assert quantizer.scale == Fraction(1, 2) and quantizer.reciprocal == 2


def reference(grid: Grid, x: torch.Tensor) -> torch.Tensor:
    """The quantiser by plain operations with straight-through gradients, log2_scale as LSQ has it."""
    scale, r = (torch.from_numpy(v).reshape(-1, *[1] * (x.dim() - 1)) for v in grid.snapped())
    count = x.numel() / scale.numel()
    log2 = grid.log2_scale.reshape(scale.shape)
    damped = log2 / (count * grid.high) ** 0.5
    s = scale * torch.exp2(damped - damped.detach())
    v = x * r * (scale / s)
    q = torch.clamp(v + ((v + 0.5).floor() - v).detach(), grid.low, grid.high)
    inside = ((x * r) > grid.low - 0.5) & ((x * r) < grid.high + 0.5)
    q = torch.where(inside, v + ((v + 0.5).floor() - v).detach(), q.detach())
    return q * s


@pytest.mark.parametrize("kind", ["power_of_two", "dyadic"])
@pytest.mark.parametrize("channels", [1, 3])
def test_gradients(kind: str, channels: int):
    torch.manual_seed(1)
    x = torch.randn(3, 40, dtype=torch.float64).requires_grad_()
    grid = WeightQuantizer(3, kind, torch.linspace(-1.3, -0.6, channels, dtype=torch.float64), True)
    weight = torch.randn(3, 40, dtype=torch.float64)
    found = torch.autograd.grad((grid(x) * weight).sum(), [x, grid.log2_scale])
    expected = torch.autograd.grad((reference(grid, x) * weight).sum(), [x, grid.log2_scale])
    gain = grid.snapped()[0] * grid.snapped()[1]
    torch.testing.assert_close(found[0], expected[0] / torch.from_numpy(gain).reshape(-1, 1), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found[1], expected[1], rtol=2e-2, atol=1e-3)


@pytest.mark.parametrize("how", ["minmax", "percentile", "mse"])
@pytest.mark.parametrize("kind", ["power_of_two", "dyadic"])
def test_calibration(how: str, kind: str):
    values = np.random.default_rng(0).standard_normal((2, 20000)) * np.array([[1.0], [0.1]])
    log2 = log2_scale(values, -7, 7, kind, how)
    top = np.abs(values).max(1)
    covered = snap(log2, mantissa_bits(kind, 3)) * 7.5 / top
    if how == "minmax":
        assert (covered >= 1).all() and (covered < (2.3 if kind == "power_of_two" else 1.2)).all()
    else:
        limit = 1.9 if (how, kind) == ("percentile", "power_of_two") else 1.1
        assert (covered < limit).all() and (covered > 0.2).all()


def test_least_squares_is_best():
    values = np.random.default_rng(0).standard_normal((1, 5000))

    def error(log2: float) -> float:
        s = 2.0**log2
        return float(((np.clip(np.floor(values / s + 0.5), -7, 7) * s - values) ** 2).sum())

    best = log2_scale(values, -7, 7, "power_of_two", "mse")[0]
    assert all(error(best) <= error(best + d) for d in (-2, -1, 1, 2))


def test_zero_weights_get_a_harmless_scale():
    log2 = log2_scale(np.zeros((2, 10)), -7, 7, "power_of_two", "mse")
    assert np.isfinite(log2).all() and (log2 >= -16).all()
