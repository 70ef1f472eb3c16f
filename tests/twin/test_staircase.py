"""Batch norm behind a layer folds into thresholds without any rounding."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from intaglio.ir.ops import Conv2d, Lookup, MatMul, Threshold
from intaglio.methods import FixedPoint, Recipe
from intaglio.twin.freeze import freeze
from intaglio.twin.lower import equal, lower
from intaglio.twin.quantizers import ActivationQuantizer, LevelQuantizer
from intaglio.twin.stack import integers
from intaglio.twin.staircase import Staircase, least_inputs, least_integers, staircase


class Uneven(LevelQuantizer):
    """Levels 0, 1, 2, 4, 8 from 1/2, 3/2, 3, 6 on: the shape of a logarithmic activation."""

    def __init__(self) -> None:
        super().__init__(4, False, "power_of_two", -1.0)

    def levels(self) -> tuple[int, ...]:
        return tuple(level for level in (0, 1, 2, 4, 8) if self.low <= level <= self.high)

    def edges(self) -> tuple[Fraction, ...]:
        edges = {1: Fraction(1, 4), 2: Fraction(3, 4), 4: Fraction(3, 2), 8: Fraction(3)}
        return tuple(edges[level] for level in self.levels()[1:])

    def _quantized(self, x: Tensor) -> Tensor:
        count = sum((x >= float(edge)).long() for edge in self.edges())
        return torch.tensor(self.levels(), dtype=x.dtype)[count] * float(self.scale)


def network(seed: int, bits: int) -> tuple[nn.Module, Tensor]:
    """A dense layer and a convolution with odd batch norms, quantised; some channels constant, some upside down."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(2, 5, 3, bias=seed % 2 == 0), nn.BatchNorm2d(5), nn.ReLU() if seed % 3 else nn.Hardtanh(),
        nn.Flatten(), nn.Linear(45, 6), nn.BatchNorm1d(6), nn.Identity(), nn.Linear(6, 3),
    )  # fmt: skip
    for norm in model:
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.01, 3)
            norm.weight.data[0] = 0
    x = torch.rand(40, 2, 5, 5)
    recipe = Recipe(FixedPoint(weight_bits=3, activation_bits=bits, activation_scale="dyadic", per_channel=True))
    return recipe.apply(model.eval(), x).eval(), x


def exact(layer: nn.Module, norm: nn.Module, quantizer: ActivationQuantizer, x: np.ndarray) -> list[int]:
    """quantizer(norm(layer(x))) of one output per channel, in exact arithmetic; x (channels, inputs) as fractions."""
    whole, scales = integers(layer)
    gain = (norm.weight.double() * torch.rsqrt(norm.running_var.double() + norm.eps)).tolist()
    offset = (norm.bias.double() - norm.running_mean.double() * torch.tensor(gain, dtype=torch.float64)).tolist()
    bias = layer.bias.double().tolist() if layer.bias is not None else [0.0] * len(whole)
    results = []
    for c, row in enumerate(whole.reshape(len(whole), -1)):
        total = sum(int(w) * Fraction(float(v)) for w, v in zip(row, x, strict=True)) * scales[c % len(scales)]
        y = Fraction(gain[c]) * (total + Fraction(bias[c])) + Fraction(offset[c])
        results.append(quantizer.quantize(y))
    return results


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_a_batch_norm_folds_without_rounding(bits: int) -> None:
    for seed in range(4):
        model, x = network(seed, bits)
        layer, norm = model.get_submodule("4"), model.get_submodule("5")
        names = [str(node.target) for node in model.graph.nodes]
        quantizer = model.get_submodule(names[names.index("6") + 1])
        frozen = freeze(model)
        seen: list[Tensor] = []
        frozen.get_submodule("4").register_forward_hook(lambda module, args, out, seen=seen: seen.append(args[0]))
        end = frozen.get_submodule(names[names.index("6") + 1])
        end.register_forward_hook(lambda module, args, out, seen=seen: seen.append(out))
        with torch.no_grad():
            frozen(x.double())
        inputs, found = seen[0], seen[1] / float(quantizer.scale)
        for sample in range(10):
            expected = exact(layer, norm, quantizer, inputs[sample].numpy())
            assert expected == found[sample].long().tolist()


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_the_graph_compares_and_equals_torch(bits: int) -> None:
    for seed in range(6):
        model, x = network(seed, bits)
        graph = lower(model, x[:1])
        assert equal(model, graph, x) == 0
        kinds = [type(node.op) for node in graph.nodes]
        assert kinds.count(Threshold) == 2
        compared = [graph.nodes[node.inputs[0]].op for node in graph.nodes if isinstance(node.op, Threshold)]
        assert all(isinstance(op, Conv2d | MatMul) for op in compared)


def test_uneven_levels_become_a_count_and_a_table() -> None:
    torch.manual_seed(0)
    model, x = network(1, 4)
    names = [str(node.target) for node in model.graph.nodes]
    for before in ("2", "6"):
        model.set_submodule(names[names.index(before) + 1], Uneven())
    graph = lower(model, x[:1])
    assert equal(model, graph, x) == 0
    tables = [node for node in graph.nodes if isinstance(node.op, Lookup)]
    assert len(tables) == 2 and all(set(node.op.table.ravel()) == {0, 1, 2, 4, 8} for node in tables)


def test_thresholds_are_rounded_up_so_that_no_comparison_changes() -> None:
    quantizer = ActivationQuantizer(1, False, "power_of_two")
    for numerator in range(1, 40):
        gain = numerator / 7
        (threshold,) = staircase(quantizer, [gain]).thresholds.flatten().tolist()
        exactly = Fraction(1, 2) / Fraction(gain)
        assert Fraction(threshold) >= exactly > Fraction(math.nextafter(threshold, -math.inf))
    never = staircase(quantizer, [0.0], [0.4]).thresholds.item()
    always = staircase(quantizer, [0.0], [0.5]).thresholds.item()
    assert (never, always) == (math.inf, -math.inf)


def test_a_clip_before_uneven_levels_narrows_them() -> None:
    """Q(clip(x, 0, 0.8)): the level of the end, not the integer nearest to it."""
    model = nn.Sequential(nn.Linear(4, 6), nn.Hardtanh(0, 0.8), nn.Linear(6, 3))
    x = torch.rand(30, 4, generator=torch.Generator().manual_seed(0)) * 8 - 4
    small = Recipe(FixedPoint(activation_bits=4)).apply(model, x).eval()
    names = [str(node.target) for node in small.graph.nodes]
    small.set_submodule(names[names.index("1") + 1], Uneven())
    steps = freeze(small).get_submodule(names[names.index("1") + 1])
    assert isinstance(steps, Staircase) and steps.values.tolist() == [0, 1, 2]
    assert equal(small, lower(small, x[:1]), x) == 0


LARGEST = math.nextafter(math.inf, 0)
AWKWARD = (
    0.0, 1.0, 3.0, 1 / 3, 0.1, 5e-324, 2.0**-1074 * 7, 2.0**-1022, 1e-300, 2.0**-60, 1 + 2.0**-52, 1 - 2.0**-53, 1e16,
    2.0**52 + 1, 2.0**53, 1e300, LARGEST,
)  # fmt: skip
EDGES = (
    Fraction(-3, 2), Fraction(0), Fraction(1, 3), Fraction(1, 2), Fraction(0.1), Fraction(1, 2) + Fraction(1, 2**80),
    Fraction(1, 2) - Fraction(1, 2**80), Fraction(2**53 + 1), Fraction(5e-324), Fraction(3, 2**1076), Fraction(1e300),
)  # fmt: skip


def test_least_inputs_are_exact_at_ties_and_at_the_ends_of_float64() -> None:
    """Each threshold reaches its edge in exact arithmetic, and the float64 below it does not."""
    signed = [*AWKWARD, *(-value for value in AWKWARD)]
    rows = [(g, o, b) for g in AWKWARD for o in signed for b in signed][::11]
    for (gain, offset, bias), found in zip(rows, least_inputs(EDGES, *zip(*rows, strict=True)).tolist(), strict=True):
        g, o, b = Fraction(gain), Fraction(offset), Fraction(bias)
        for edge, threshold in zip(EDGES, found, strict=True):
            if not gain:
                assert threshold == (-math.inf if o >= edge else math.inf)
                continue
            least = (edge - o) / g - b
            if math.isinf(threshold):
                assert abs(least) > LARGEST and (least > 0) == (threshold > 0)
            else:
                assert Fraction(threshold) >= least, (gain, offset, bias, edge)
                below = math.nextafter(threshold, -math.inf)
                assert math.isinf(below) or Fraction(below) < least, (gain, offset, bias, edge)


def test_least_integers_are_exact_at_ties_and_beyond_float64() -> None:
    steps = (Fraction(1), Fraction(3, 8), Fraction(1, 3), Fraction(1, 2**70), Fraction(1, 2**1074), Fraction(2**600, 3))
    near = [math.nextafter(m * float(s), side) for s in steps for m in (1, 5, 2**40 + 1) for side in (-1e9, 0.1, 1e9)]
    values = [*AWKWARD, *near, *(m * float(s) for s in steps for m in (1, 7, 2**50 + 1)), math.inf]
    table = np.array([[*values, *(-value for value in values)]] * len(steps))
    for bounds in ((-9, 8), (-(2**61), 2**61 - 2)):
        found = least_integers(table, steps, bounds)
        assert found.dtype == np.int64
        for row, step, integers_of in zip(table.tolist(), steps, found.tolist(), strict=True):
            for value, integer in zip(row, integers_of, strict=True):
                least = (
                    (bounds[1] + 1 if value > 0 else bounds[0])
                    if math.isinf(value)
                    else math.ceil(Fraction(value) / step)
                )
                assert integer == min(max(least, bounds[0]), bounds[1] + 1), (value, step)
