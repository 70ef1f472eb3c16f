"""What every method must do; a new one inherits these tests, alone and in pairs, by its line in METHODS."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from intaglio.ir.errors import RecipeError, StructureError
from intaglio.methods import (
    METHODS,
    Binary,
    Choice,
    Dorefa,
    FixedPoint,
    Logarithmic,
    Method,
    Minifloat,
    MultiBase,
    Pact,
    Prune,
    Recipe,
    Span,
)
from intaglio.methods.weights.prune import mask_of
from intaglio.twin.format import Format
from intaglio.twin.lower import equal, lower
from intaglio.twin.quantizers import Grid
from intaglio.twin.stack import grid_of, integers

KNOBS: dict[type[Method], dict[str, object]] = {
    Prune: {"sparsity": 0.6},
    FixedPoint: {"weight_bits": 4},
    Minifloat: {"weights": "E3M2", "activations": "E3M3"},
    Logarithmic: {"activation_bits": 3},
}
"""Knobs without a default, and small ones for quick tests."""

WITHOUT_ZERO: tuple[type[Method], ...] = (Binary, Dorefa, MultiBase)
"""Number formats that destroy zeros: with Prune a recipe refuses them."""

OF_ACTIVATIONS: tuple[type[Method], ...] = (Pact,)
"""Methods that leave weights as they are."""

each_method = pytest.mark.parametrize("kind", METHODS, ids=lambda kind: kind.key())


def made(kind: type[Method]) -> Method:
    return kind(**KNOBS.get(kind, {}))


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))


def quantised(*methods: Method) -> Recipe:
    """The methods, with a number format added at the end if none of them is one."""
    has_format = any(isinstance(method, FixedPoint | Format | Pact) for method in methods)
    return Recipe(*methods) if has_format else Recipe(*methods, FixedPoint(weight_bits=5))


def refused(kinds: tuple[type[Method], ...]) -> bool:
    """Whether one of the methods destroys what Prune made."""
    return Prune in kinds and any(kind in WITHOUT_ZERO for kind in kinds)


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


@pytest.mark.parametrize("kind", [k for k in METHODS if k not in OF_ACTIVATIONS], ids=lambda kind: kind.key())
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


@pytest.mark.parametrize("kinds", [*itertools.permutations(METHODS, 2), *((kind,) for kind in METHODS)],
                         ids=lambda kinds: "-".join(kind.key() for kind in kinds))  # fmt: skip
@pytest.mark.parametrize("trained", [False, True], ids=["applied", "trained"])
def test_pairs_keep_structure_and_equality(kinds: tuple[type[Method], ...], trained: bool):
    torch.manual_seed(1)
    x, y = torch.rand(16, 1, 6, 6), torch.randint(5, (16,))
    recipe = quantised(*(made(kind) for kind in kinds))
    if refused(kinds):
        with pytest.raises(StructureError, match="no longer zero"):
            recipe.apply(net(), x)
        return
    model = recipe.apply(net(), x)
    if trained:
        train(model, recipe, x, y)
    recipe.verify(model)
    for name in ("0", "4"):
        layer = model.get_submodule(name)
        whole, _ = integers(layer)
        mask, grid = mask_of(layer), grid_of(layer)
        assert grid is not None and (not isinstance(grid, Grid) or abs(whole).max() <= grid.high)
        assert (mask is None) == (Prune not in kinds)
        assert mask is None or (whole == 0).mean() >= 0.58
    assert equal(model, lower(model, x[:1]), x) == 0


@pytest.mark.parametrize(
    "kinds",
    [kinds for kinds in itertools.permutations(METHODS, 2) if not refused(kinds)],
    ids=lambda kinds: "-".join(k.key() for k in kinds),
)
def test_weights_survive_saving(kinds: tuple[type[Method], ...], tmp_path):
    from intaglio.train import load_weights, save_weights

    torch.manual_seed(2)
    x, y = torch.rand(16, 1, 6, 6), torch.randint(5, (16,))
    recipe = quantised(*(made(kind) for kind in kinds))
    model = recipe.apply(net(), x)
    train(model, recipe, x, y, 3)
    save_weights(model, tmp_path / "a.safetensors")
    again = load_weights(recipe.apply(net(), torch.rand(2, 1, 6, 6)), tmp_path / "a.safetensors")
    assert lower(again, x[:1]) == lower(model, x[:1])
