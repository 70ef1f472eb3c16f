"""What every method must do; a new one inherits these tests, alone and beside methods of every family, by its import.

The number of pairs grows with the number of methods, not with its square: every method is tried before and behind the
representatives of each family. What a method leaves is its own `structured`; which structure of weights a number format
cannot keep is said here, by kind of structure.
"""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from intaglio.ir.errors import RecipeError, StructureError
from intaglio.methods import (
    METHODS,
    Binary,
    BlockFloatingPoint,
    Choice,
    Dorefa,
    FixedPoint,
    LearnedBits,
    Logarithmic,
    Method,
    Minifloat,
    MultiBase,
    Pact,
    Prune,
    Recipe,
    Span,
)
from intaglio.twin.lower import equal, lower
from intaglio.twin.quantizers import Grid
from intaglio.twin.stack import grid_of, integers, stacked

KNOBS: dict[type[Method], dict[str, object]] = {
    Prune: {"sparsity": 0.6},
    FixedPoint: {"weight_bits": 4},
    Minifloat: {"weights": "E3M2", "activations": "E3M3"},
    Logarithmic: {"activation_bits": 3},
}
"""Knobs without a default, and small ones for quick tests."""

Structure = str
KINDS = {
    "zeros": lambda weight: np.mean(weight == 0) >= 0.58,
    "few values": lambda weight: len(np.unique(weight)) <= 20,
}
"""Structure that number formats may keep or destroy, told from the values of a weight."""

LOSES: dict[type[Method], set[Structure]] = {
    Binary: {"zeros"},
    Dorefa: {"zeros"},
    MultiBase: {"zeros"},
    LearnedBits: {"few values"},
    BlockFloatingPoint: {"few values"},
}
"""What a number format does not keep: a recipe may then refuse it behind, or before, a method that makes it."""

REPRESENTATIVES: dict[str, tuple[type[Method], ...]] = {"formats": (FixedPoint, Binary, Pact), "weights": (Prune,)}
"""Of every family: a format with zero, one without, and one of activations alone; a method that makes zeros."""


def family(kind: type[Method]) -> str:
    """The folder that a method lies in."""
    return kind.__module__.split(".")[2]


def of_weights(kind: type[Method]) -> bool:
    """Whether a method leaves structure in weights."""
    return kind.structured is not Method.structured


PAIRS = list(
    dict.fromkeys(
        pair
        for kind in METHODS
        for other in itertools.chain(*REPRESENTATIVES.values())
        for pair in ((kind, other), (other, kind))
        if kind is not other
    )
)
ALONE_AND_PAIRS = [*((kind,) for kind in METHODS), *PAIRS]


def names(kinds: tuple[type[Method], ...]) -> str:
    return "-".join(kind.key() for kind in kinds)


each_method = pytest.mark.parametrize("kind", METHODS, ids=lambda kind: kind.key())


def made(kind: type[Method]) -> Method:
    return kind(**KNOBS.get(kind, {}))


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))


def quantised(*methods: Method) -> Recipe:
    """The methods, with a number format added at the end if none of them is one."""
    has_format = any(family(type(method)) == "formats" for method in methods)
    return Recipe(*methods) if has_format else Recipe(*methods, FixedPoint(weight_bits=5))


def layers(model: nn.Module) -> list[nn.Module]:
    return [model.get_submodule(name) for name in ("0", "4")]


def left_by(kind: type[Method]) -> set[Structure]:
    """The kinds of structure that a method leaves in float weights; none for a number format."""
    if family(kind) == "formats":
        return set()
    model = Recipe(made(kind)).apply(net(), torch.rand(4, 1, 6, 6))
    found = [stacked(layer).detach().numpy() for layer in layers(model)]
    return {name for name, holds in KINDS.items() if all(holds(weight) for weight in found)}


def may_lose(recipe: Recipe) -> set[Structure]:
    """What the number formats of a recipe do not keep."""
    return set().union(*(LOSES.get(type(method), set()) for method in recipe.methods))


def kept(recipe: Recipe, model: nn.Module) -> dict[Method, bool]:
    """Of the methods that leave structure, whether it is there; of number formats the last one counts."""
    wholes = [integers(layer)[0] for layer in layers(model)]
    shaping = [method for method in recipe.methods if of_weights(type(method))]
    last = [method for method in shaping if family(type(method)) == "formats"][-1:]
    asked = [method for method in shaping if family(type(method)) != "formats" or method in last]
    return {method: all(method.structured(whole) for whole in wholes) for method in asked}


def train(model: nn.Module, recipe: Recipe, x: torch.Tensor, y: torch.Tensor, steps: int = 8) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    model.train()
    for step in range(steps):
        for method in recipe.methods:
            method.step(model, step / steps)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        for method in recipe.methods:
            loss = loss + method.loss(model, x, y)
        loss.backward()
        optimizer.step()
    for method in recipe.methods:
        method.step(model, 1.0)


@each_method
def test_is_frozen_strict_and_documented(kind: type[Method]):
    method = made(kind)
    with pytest.raises(Exception, match="frozen"):
        method.select = "x"
    with pytest.raises(RecipeError, match="unknown key 'nonsense'"):
        kind(**{**KNOBS.get(kind, {}), "nonsense": 1})
    assert kind.__doc__ and kind.__doc__ != Method.__doc__
    assert Recipe.from_yaml(Recipe(method).to_yaml()) == Recipe(method)


@each_method
def test_space_names_knobs_and_every_corner_is_valid(kind: type[Method]):
    for name, knob in kind.space().items():
        values = knob.values if isinstance(knob, Choice) else (knob.low, knob.high)
        assert isinstance(knob, Choice | Span) and name in kind.model_fields
        for value in values:
            made(kind).replaced(**{name: value})


def test_every_family_has_its_representatives():
    assert set(REPRESENTATIVES) == {family(kind) for kind in METHODS}
    assert all(family(kind) == name for name, kinds in REPRESENTATIVES.items() for kind in kinds)
    assert len(PAIRS) <= 2 * 4 * len(METHODS)


@pytest.mark.parametrize("kind", [k for k in METHODS if of_weights(k)], ids=lambda kind: kind.key())
def test_structure_can_be_missing_and_is_left_in_every_selected_layer(kind: type[Method]):
    noise = np.random.default_rng(0).integers(-(2**20), 2**20, (8, 16, 3, 3))
    assert not made(kind).structured(noise) and not made(kind).structured(noise[:, :, 0, 0])
    recipe = quantised(made(kind))
    assert kept(recipe, recipe.apply(net(), torch.rand(6, 1, 6, 6)))[recipe.methods[0]]


def test_kinds_of_structure_are_what_formats_keep_or_lose():
    """A weight of zeros and of few values, by hand, through every number format alone."""
    for kind in METHODS:
        if family(kind) != "formats" or not of_weights(kind):
            continue
        for name, holds in KINDS.items():
            model = net()
            for layer in (model[0], model[4]):
                size = layer.weight.abs()
                few = (size * 4 / size.max()).round() * layer.weight.sign() / 4
                zeros = torch.where(size < size.flatten().quantile(0.7), 0.0, layer.weight)
                layer.weight = nn.Parameter({"few values": few, "zeros": zeros}[name].detach())
            made_of = Recipe(made(kind)).apply(model, torch.rand(6, 1, 6, 6))
            survives = all(holds(integers(layer)[0]) for layer in layers(made_of))
            assert survives or name in LOSES.get(kind, set()), f"{kind.key()} loses {name}"


@pytest.mark.parametrize("kind", [k for k in METHODS if of_weights(k)], ids=lambda kind: kind.key())
def test_only_selected_layers_change(kind: type[Method]):
    x = torch.rand(6, 1, 6, 6)
    before = Recipe(FixedPoint()).apply(net(), x)  # what number formats make of the layers that are not selected
    model = Recipe(FixedPoint(), kind(**{**KNOBS.get(kind, {}), "select": "4"})).apply(net(), x)
    assert torch.equal(model.get_submodule("0").weight, before.get_submodule("0").weight)
    assert not torch.equal(model.get_submodule("4").weight, before.get_submodule("4").weight)


@each_method
def test_nothing_is_random(kind: type[Method]):
    x = torch.rand(6, 1, 6, 6)
    states = [quantised(made(kind)).apply(net(), x).state_dict() for _ in range(2)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


@pytest.mark.parametrize("kinds", ALONE_AND_PAIRS, ids=names)
@pytest.mark.parametrize("trained", [False, True], ids=["applied", "trained"])
def test_pairs_keep_structure_and_equality(kinds: tuple[type[Method], ...], trained: bool):
    torch.manual_seed(1)
    x, y = torch.rand(16, 1, 6, 6), torch.randint(5, (16,))
    recipe = quantised(*(made(kind) for kind in kinds))
    lost = {type(method) for method in recipe.methods if left_by(type(method)) & may_lose(recipe)}
    loose = Recipe(*recipe.methods, allow_loss=True)
    model = loose.apply(net(), x)
    if trained:
        train(model, recipe, x, y)
    found = kept(recipe, model)
    assert {type(method) for method, holds in found.items() if not holds} <= lost
    if not all(found.values()):
        with pytest.raises(StructureError):
            recipe.verify(model)
    else:
        recipe.verify(model)
    for layer in layers(model):
        grid, whole = grid_of(layer), integers(layer)[0]
        assert grid is not None and (not isinstance(grid, Grid) or abs(whole).max() <= grid.high)
    assert equal(model, lower(model, x[:1]), x) == 0


def test_a_recipe_refuses_what_destroys_structure():
    for kind in (Binary, Dorefa, MultiBase):
        for kinds in ((Prune, kind), (kind, Prune)):
            with pytest.raises(StructureError, match="no longer zero"):
                Recipe(*(made(each) for each in kinds)).apply(net(), torch.rand(16, 1, 6, 6))


@pytest.mark.parametrize("kinds", PAIRS, ids=names)
def test_weights_survive_saving(kinds: tuple[type[Method], ...], tmp_path):
    from intaglio.train import load_weights, save_weights

    torch.manual_seed(2)
    x, y = torch.rand(16, 1, 6, 6), torch.randint(5, (16,))
    methods = quantised(*(made(kind) for kind in kinds)).methods
    recipe = Recipe(*methods, allow_loss=True)
    model = recipe.apply(net(), x)
    train(model, recipe, x, y, 3)
    save_weights(model, tmp_path / "a.safetensors")
    again = load_weights(recipe.apply(net(), torch.rand(2, 1, 6, 6)), tmp_path / "a.safetensors")
    assert lower(again, x[:1]) == lower(model, x[:1])
