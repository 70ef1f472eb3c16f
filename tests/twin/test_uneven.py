"""Roundings by the bits of a float, against the operations they stand for and the formulas written plainly."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from intaglio.ir.ops import Align
from intaglio.methods.formats.logarithmic import EDGE, LogQuantizer
from intaglio.methods.formats.minifloat import MinifloatQuantizer
from intaglio.methods.formats.multi_base import ActivationBases
from intaglio.twin.align import align
from intaglio.twin.quantizers import ActivationQuantizer
from intaglio.twin.uneven import leading_bits_


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 11, 16])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_leading_bits_are_the_operation_align(count: int, dtype: torch.dtype):
    q = np.concatenate([np.arange(-5000, 5001), np.random.default_rng(0).integers(-(2**23), 2**23, 5000)])
    expected = torch.from_numpy(Align(1, count).execute(q.reshape(1, -1))[0]).to(dtype)
    for step in (1.0, 2.0**-9, 2.0**20):
        x = torch.from_numpy(q).to(dtype).mul_(step)
        assert torch.equal(align(x[None], 1, count)[0], expected * step)
        assert torch.equal(leading_bits_(x, count), expected * step)


@pytest.mark.parametrize("count", [1, 2, 7, 23, 24, 30])
def test_leading_bits_of_zero_and_of_what_is_no_number(count: int):
    found = leading_bits_(torch.tensor([0.0, -0.0, math.nan, -math.nan]), count)
    assert found[:2].tolist() == [0, 0] and found[2:].isnan().all()


def test_wide_enough_counts_change_nothing():
    x = torch.randn(1000).half()
    assert torch.equal(leading_bits_(x.clone(), 11), x) and not torch.equal(leading_bits_(x.clone(), 5), x)


def plain(quantizer: ActivationQuantizer, x: Tensor, ends: tuple[float, float]) -> Tensor:
    """whole(x / s) * s, straight through between `ends` scales, with LSQ's gradient of log2 s."""
    s, high = float(quantizer.scale), quantizer.high
    y = quantizer.whole(x.detach() / s) * s
    inside = (x > ends[0] * s) & (x < ends[1] * s)
    through = torch.where(inside, x, 0)
    damped = quantizer.log2_scale * math.log(2) / math.sqrt(x.numel() * high)
    moved = (y - through.detach()) * damped
    return y + (through - through.detach()) + (moved - moved.detach())


@pytest.mark.parametrize("log2", [-7.0, 0.0, 3.0])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("kind", [LogQuantizer, MinifloatQuantizer])
def test_scales_and_gradients_of_activations_by_the_formula(kind: type, signed: bool, log2: float):
    torch.manual_seed(0)
    quantizer = kind(4, signed, log2, True) if kind is LogQuantizer else kind(3, 2, signed, True)
    quantizer.log2_scale.data.fill_(log2)
    half = 0.5 if kind is MinifloatQuantizer else 0
    ends = (quantizer.low - half, quantizer.high + half)
    if kind is LogQuantizer:
        ends = (EDGE * (quantizer.low if signed else -0.5), EDGE * quantizer.high)
    x = torch.randn(3000).mul_(2.0**log2 * quantizer.high / 2).requires_grad_()
    upstream = torch.randn(3000)
    given, kept = upstream.clone(), x.detach().clone()
    found, expected = quantizer(x), plain(quantizer, x, ends)
    assert torch.equal(found, quantizer.whole(x.detach() * 2.0**-log2) * 2.0**log2) and found.unique().numel() > 5
    parameters = [x, quantizer.log2_scale]
    gradients = [torch.autograd.grad((y * upstream).sum(), parameters) for y in (found, expected)]
    assert torch.equal(gradients[0][0], gradients[1][0]) and not gradients[0][0].all()
    torch.testing.assert_close(gradients[0][1], gradients[1][1], rtol=1e-4, atol=1e-4)
    assert torch.equal(upstream, given) and torch.equal(x, kept)


def test_bases_leave_the_values_and_the_gradient_alone():
    torch.manual_seed(0)
    quantizer = ActivationBases([-0.5, 0.1, 0.8], [0.25, 0.5, 1.0], 3)
    x, upstream = torch.randn(2000).requires_grad_(), torch.randn(2000)
    given, kept = upstream.clone(), x.detach().clone()
    y = quantizer(x)
    (found,) = torch.autograd.grad(y, [x], upstream)
    steps = list(zip(quantizer.thresholds.tolist(), (0.25, 0.5, 1.0), strict=True))
    assert torch.equal(y, sum(value * torch.where(kept >= edge, 1.0, -1.0) for edge, value in steps))
    torch.testing.assert_close(found, upstream * sum(((kept - e).abs() < v).float() for e, v in steps))
    assert torch.equal(upstream, given) and torch.equal(x, kept)
