"""Mixed precision: measured noise, the allocation, bits by assignment, bits that are saved."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from intaglio.ir.errors import RangeError, RecipeError
from intaglio.methods import FixedPoint, MixedPrecision, Prune, Recipe
from intaglio.methods.formats.mixed_precision import WIDTHS, allocate, share
from intaglio.train import load_weights, save_weights
from intaglio.twin.lower import equal, lower
from intaglio.twin.quantizers import ActivationQuantizer
from intaglio.twin.stack import grid_of, integers


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 12), nn.ReLU(),
        nn.Linear(12, 3),
    )  # fmt: skip


LAYERS = ("0", "3", "5", "7")


def bits_of(model: nn.Module) -> dict[str, int]:
    return {name: grid_of(model.get_submodule(name)).bits for name in LAYERS}


def noise(curves: list[list[float]], bits: list[int] | tuple[int, ...]) -> float:
    return sum(curve[b - 2] for curve, b in zip(curves, bits, strict=True))


@pytest.mark.parametrize("kind", ["power_of_two", "dyadic"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_noise_by_the_formula(kind: str, per_channel: bool):
    torch.manual_seed(0)
    w = torch.randn(6, 40) * torch.logspace(-1, 0.5, 6).reshape(-1, 1)
    knobs = {"per_channel": per_channel, "weight_scale": kind}
    found = MixedPrecision(**knobs).weight_noise(w)
    assert len(found) == len(WIDTHS) == 15
    for bits in (2, 3, 5, 8):
        layer = nn.Linear(40, 6, bias=False)
        layer.weight.data.copy_(w)
        model = Recipe(FixedPoint(weight_bits=bits, **knobs)).apply(nn.Sequential(layer), torch.rand(4, 40))
        q = model.get_submodule("0").weight.detach().double().numpy()
        wanted = ((q - w.numpy()) ** 2).sum() / (w.double().numpy() ** 2).sum()
        assert found[bits - 2] == pytest.approx(wanted, rel=1e-5)


def test_a_bit_is_six_decibels():
    torch.manual_seed(0)
    found = MixedPrecision(weight_scale="dyadic").weight_noise(torch.rand(30, 1000) * 2 - 1)
    steps = [10 * math.log10(a / b) for a, b in itertools.pairwise(found[2:8])]
    assert all(abs(step - 6.02) < 0.6 for step in steps)


@pytest.mark.parametrize("seed", range(12))
def test_share_is_best_by_trying_all(seed: int):
    rng = np.random.default_rng(seed)
    curves = [(rng.random(15) * 4.0 ** -np.arange(15) * rng.uniform(0.1, 10)).tolist() for _ in range(3)]
    sizes = [int(size) for size in rng.integers(1, 300, 3)]
    average = float(rng.uniform(2, 10))
    found = share(curves, sizes, average)
    room = average * sum(sizes)

    def storage(bits: list[int] | tuple[int, ...]) -> int:
        return sum(size * b for size, b in zip(sizes, bits, strict=True))

    best = min(noise(curves, bits) for bits in itertools.product(WIDTHS, repeat=3) if storage(bits) <= room)
    assert storage(found) <= room and noise(curves, found) <= 1.001 * best


def test_share_follows_the_closed_form():
    sizes = [1, 16, 256, 4096]
    curves = [[4.0**-bits for bits in WIDTHS] for _ in sizes]
    wanted = [10, 8, 6, 4]  # noise over size is the same for all
    assert share(curves, sizes, np.dot(sizes, wanted) / sum(sizes)) == wanted


def test_one_bit_for_the_large_part_may_beat_many_for_the_small_ones():
    curves = [[4.0**-bits for bits in WIDTHS]] * 3
    assert share(curves, [144, 4608, 1280], 3) == [3, 3, 3]  # taking the best steps first gives [8, 2, 6]


def test_share_at_the_ends():
    curves = [[4.0**-bits for bits in WIDTHS]] * 3
    assert share(curves, [5, 6, 7], 2) == [2, 2, 2] and share(curves, [5, 6, 7], 16) == [16, 16, 16]
    assert share([[0.0] * 15, curves[0]], [10, 10], 3) == [2, 4]
    with pytest.raises(RangeError, match=r"an average of 1\.5 bits"):
        share(curves, [5, 6, 7], 1.5)


@pytest.mark.parametrize("average", [2.0, 3.3, 6.0])
def test_the_budget_holds_and_noise_is_at_most_that_of_equal_bits(average: float):
    model = net()
    with torch.no_grad():
        model[3].weight[:, 0] *= 30
    chosen = allocate(model, average)
    sizes = {name: model.get_submodule(name).weight.numel() for name in LAYERS}
    assert sum(sizes[n] * b for n, b in chosen.items()) <= average * sum(sizes.values())
    curves = [MixedPrecision().weight_noise(model.get_submodule(name).weight.detach()) for name in LAYERS]
    assert noise(curves, list(chosen.values())) <= 1.001 * noise(curves, [int(average)] * 4)
    quantised = Recipe(MixedPrecision(average_bits=average)).apply(model, torch.rand(20, 1, 6, 6))
    assert bits_of(quantised) == chosen
    for name, bits in chosen.items():
        assert abs(integers(quantised.get_submodule(name))[0]).max() <= 2 ** (bits - 1) - 1


def test_bits_by_assignment():
    x = torch.rand(20, 1, 6, 6)
    method = MixedPrecision(average_bits=None, weight_bits=6, assignment={"type:Linear": 3, "5": 9})
    assert bits_of(Recipe(method).apply(net(), x)) == {"0": 6, "3": 3, "5": 9, "7": 3}
    some = MixedPrecision(average_bits=4, assignment={"3": 2})
    found = bits_of(Recipe(some).apply(net(), x))
    rest = allocate(net(), 4, MixedPrecision(select=("0", "5", "7")))
    assert found == {"3": 2, **rest}
    only = MixedPrecision(select=("0", "3"), average_bits=None, assignment={"0": 3})
    assert bits_of(Recipe(FixedPoint(weight_bits=5), only).apply(net(), x)) == {"0": 3, "3": 8, "5": 5, "7": 5}
    assert Recipe.from_yaml(Recipe(method).to_yaml()) == Recipe(method) and hash(method) == hash(method.replaced())


def test_equal_bits_are_fixed_point():
    x = torch.rand(20, 1, 6, 6)
    mixed = Recipe(MixedPrecision(average_bits=None, weight_bits=4)).apply(net(), x)
    plain = Recipe(FixedPoint(weight_bits=4)).apply(net(), x)
    assert lower(mixed, x[:1]) == lower(plain, x[:1])


def test_activations_share_a_budget():
    x = torch.rand(64, 1, 6, 6)
    model = net()
    with torch.no_grad():
        model[5].weight[0] *= 50  # one channel dwarfs the others: this activation needs more bits
    recipe = Recipe(MixedPrecision(average_activation_bits=5, calibration="minmax"))
    quantised = recipe.apply(model, x)
    names = {"1_quantizer": 64, "4_quantizer": 20, "6_quantizer": 12}
    chosen = {name: quantised.get_submodule(name).bits for name in names}
    assert sum(size * chosen[name] for name, size in names.items()) <= 5 * sum(names.values())
    assert chosen["6_quantizer"] > chosen["1_quantizer"]
    for name, bits in chosen.items():
        quantizer = quantised.get_submodule(name)
        assert (quantizer.low, quantizer.high) == (0, 2**bits - 1)
    assert quantised.get_submodule("input_quantizer").bits == 8
    assert equal(quantised, lower(quantised, x[:1]), x) == 0
    plain = Recipe(MixedPrecision(activation_bits=7)).apply(net(), x)
    found = {type(m) for m in plain.modules() if isinstance(m, ActivationQuantizer)}
    assert found == {ActivationQuantizer} and plain.get_submodule("4_quantizer").bits == 7


def test_bits_are_in_the_file(tmp_path):
    x = torch.rand(40, 1, 6, 6)
    recipe = Recipe(MixedPrecision(average_bits=4, average_activation_bits=5))
    model = recipe.apply(net(), x)
    save_weights(model, tmp_path / "a.safetensors")
    other = net(5)
    with torch.no_grad():
        other[3].weight[:, :3] *= 40
        other[0].weight[0] *= 9
        other[5].weight[1] *= 100
    fresh = recipe.apply(other, torch.rand(40, 1, 6, 6) * 0.1)
    assert bits_of(fresh) != bits_of(model)
    again = load_weights(fresh, tmp_path / "a.safetensors")
    assert bits_of(again) == bits_of(model) and lower(again, x[:1]) == lower(model, x[:1])


def test_masked_weights_make_no_noise():
    x = torch.rand(20, 1, 6, 6)
    model = Recipe(Prune(sparsity=0.9), MixedPrecision(average_bits=3)).apply(net(), x)
    assert bits_of(model) == allocate(Recipe(Prune(sparsity=0.9)).apply(net(), x), 3)
    zeros = net()
    with torch.no_grad():
        zeros[5].weight.zero_()
    assert allocate(zeros, 4)["5"] == 2


def test_training_keeps_the_bits():
    torch.manual_seed(0)
    x, y = torch.rand(60, 1, 6, 6), torch.randint(3, (60,))
    x.view(60, 3, 12)[torch.arange(60), y] += 0.5
    model = Recipe(MixedPrecision(average_bits=3)).apply(net(), x).train()
    before = bits_of(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0] and bits_of(model) == before
    assert equal(model, lower(model, x[:1]), x) == 0


@pytest.mark.parametrize(("knobs", "words"), [
    ({"average_bits": 0}, "average_bits = 0"),
    ({"average_bits": 64}, "average_bits = 64"),
    ({"assignment": {"0": 64}}, r"assignment\.0 = 64"),
    ({"assignment": {"0": 0}}, r"assignment\.0 = 0"),
    ({"average_activation_bits": 1}, "average_activation_bits = 1"),
])  # fmt: skip
def test_knobs_are_checked(knobs: dict[str, object], words: str):
    with pytest.raises(RecipeError, match=words):
        MixedPrecision(**knobs)


def test_an_assignment_that_picks_nothing_is_refused():
    x = torch.rand(4, 1, 6, 6)
    with pytest.raises(RecipeError, match="assignment picks no layer: 'conv'"):
        Recipe(MixedPrecision(assignment={"conv": 4})).apply(net(), x)
    with pytest.raises(RecipeError, match="assignment picks no layer: '5'"):
        Recipe(MixedPrecision(select="3", assignment={"5": 4})).apply(net(), x)
