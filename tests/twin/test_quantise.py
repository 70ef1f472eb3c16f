"""What a network without quantisers is given before another number format is FixedPoint with its defaults."""

import copy

import torch

from intaglio.methods import FixedPoint
from intaglio.models import DigitsNet
from intaglio.twin.quantise import quantised


def test_a_network_without_quantisers_becomes_what_fixed_point_makes_of_it():
    torch.manual_seed(3)
    model, x = DigitsNet(), torch.rand(40, 1, 8, 8) - 0.1
    made = quantised(copy.deepcopy(model), x)
    wanted = FixedPoint().apply(copy.deepcopy(model), x)
    found, expected = made.state_dict(), wanted.state_dict()
    assert list(found) == list(expected) and all(torch.equal(found[name], expected[name]) for name in expected)
    assert [name for name, _ in made.named_parameters()] == [name for name, _ in wanted.named_parameters()]
    assert str(made) == str(wanted)


def test_a_network_with_quantisers_stays_as_it_is():
    x = torch.rand(8, 1, 8, 8)
    model = FixedPoint(weight_bits=3).apply(DigitsNet(), x)
    assert quantised(model, x) is model and "[-3, 3]" in str(model)
