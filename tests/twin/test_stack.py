"""Integers of a layer: exact in blocks of any size, and the place of what is not on the grid."""

import re
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from intaglio.ir.errors import StructureError
from intaglio.methods import FixedPoint, Recipe
from intaglio.twin import stack
from intaglio.twin.stack import integers, odd_parts

SCALES = (Fraction(1, 4), Fraction(1, 2), Fraction(3, 8), Fraction(2), Fraction(1))


def layer(whole: np.ndarray) -> nn.Linear:
    """A frozen layer of these integers times `SCALES`."""
    made = nn.Linear(whole.shape[1], whole.shape[0]).double().eval()
    columns = np.array([float(scale) for scale in SCALES])[:, None]
    made.weight = nn.Parameter(torch.from_numpy(whole * columns), requires_grad=False)
    made.integer_scale = SCALES
    return made


@pytest.mark.parametrize("block", [1, 12, 1 << 17])
@pytest.mark.parametrize("factor", [1, 6])
def test_integers_in_blocks(monkeypatch: pytest.MonkeyPatch, block: int, factor: int) -> None:
    """A common factor moves into the scales, wherever the value stands that has fewer."""
    monkeypatch.setattr(stack, "_BLOCK", block)
    whole = np.random.default_rng(1).integers(-5, 6, (5, 6)) * 12
    whole[4, 5] = factor
    found, scales = integers(layer(whole))
    assert np.array_equal(found * factor, whole) and scales == tuple(s * factor for s in SCALES)


@pytest.mark.parametrize("block", [1, 12, 1 << 17])
def test_the_first_weight_off_the_grid_is_named(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(stack, "_BLOCK", block)
    wrong = layer(np.ones((5, 6), dtype=np.int64))
    wrong.weight.data[3, 2] += 1 / 8
    with pytest.raises(StructureError, match=re.escape("fc: weight[3, 2] = ")):
        integers(wrong, "fc")


def test_a_layer_in_training_is_read_in_evaluation_and_stays_as_it_is() -> None:
    torch.manual_seed(0)
    model = Recipe(FixedPoint(weight_bits=3)).apply(
        nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), torch.rand(8, 4)
    )
    found, _ = integers(model.eval().get_submodule("0"))
    before, _ = integers(model.double().get_submodule("0"))
    again, _ = integers(model.train().get_submodule("0"))
    assert np.array_equal(found, before) and np.array_equal(found, again) and model.get_submodule("0").training


def test_odd_parts_are_what_no_shift_gives():
    assert odd_parts(np.array([0, 1, -2, 12, -40, 3 << 40])).tolist() == [0, 1, 1, 3, 5, 3]
