"""Recipes: reading, writing, selecting, refusing."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from intaglio.datasets import Dataset, Split
from intaglio.ir.errors import DataError, RangeError, RecipeError, StructureError
from intaglio.methods import METHODS, FixedPoint, Method, Prune, Recipe
from intaglio.train import fit
from intaglio.twin.layers import matches
from intaglio.twin.stack import grid_of, integers


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def test_yaml_round_trip():
    recipe = Recipe(Prune(sparsity=0.5, scope="global"), FixedPoint(weight_bits=4, select=("0", "type:Conv2d")))
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe
    assert Recipe.from_yaml("- prune: {sparsity: 0.5}\n- fixed_point\n") == Recipe(Prune(sparsity=0.5), FixedPoint())


@pytest.mark.parametrize(("text", "words"), [
    ("- prune: {sparsiti: 0.5}", ("sparsiti", "did you mean 'sparsity'")),
    ("- prunne: {sparsity: 0.5}", ("prunne", "did you mean 'prune'")),
    ("- prune: {sparsity: 1.5}", ("sparsity", "1.5")),
    ("- prune: {sparsity: 0.5, begin: 0.9}", ("begin 0.9",)),
    ("- fixed_point: {weight_bits: 1}", ("weight_bits", "1")),
    ("- fixed_point: 4", ("fixed_point",)),
    ("method: []", ("method", "methods")),
    ("- {prune: {sparsity: 0.5}, fixed_point: {}}", ("not one method",)),
    ("- [", ("not YAML",)),
    ("prune", ("list of methods",)),
])  # fmt: skip
def test_faults_are_named(text: str, words: tuple[str, ...]):
    with pytest.raises(RecipeError) as error:
        Recipe.from_yaml(text)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_yaml_cannot_run_code():
    with pytest.raises(RecipeError):
        Recipe.from_yaml("- !!python/object/apply:os.getcwd []")


def test_schema_names_every_knob():
    schema = str(Recipe.json_schema())
    for method in METHODS:
        assert all(f"'{knob}'" in schema for knob in (method.key(), *method.model_fields))


def test_apply_leaves_the_model_alone():
    model = net()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    Recipe(Prune(sparsity=0.5), FixedPoint()).apply(model, torch.rand(8, 6))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(parametrize.is_parametrized(module) for module in model.modules())


def test_selectors():
    layer = nn.Linear(1, 1)
    assert matches("a.b", layer, "a.*") and matches("a.b", layer, "type:Linear") and matches("a", layer, ("x", "a"))
    assert not matches("a.b", layer, "b") and not matches("a", layer, "type:Conv2d")
    with pytest.raises(RecipeError, match=r"type:Conv2d.*type:Linear"):
        Recipe(Prune(sparsity=0.5, select="type:Conv2d")).apply(net(), torch.rand(2, 6))


def test_later_wins():
    recipe = Recipe(FixedPoint(weight_bits=4), FixedPoint(weight_bits=2, activation_bits=3, select="0"))
    model = recipe.apply(net(), torch.rand(8, 6))
    assert [grid_of(model.get_submodule(n)).bits for n in ("0", "2")] == [2, 4]
    assert model.get_submodule("1_quantizer").bits == 3
    assert sum("quantizer" in name for name, _ in model.named_modules()) == 2


@pytest.mark.parametrize("methods", [
    (Prune(sparsity=0.75), FixedPoint(weight_bits=4)),
    (FixedPoint(weight_bits=4), Prune(sparsity=0.75)),
])  # fmt: skip
def test_prune_and_fixed_point_in_both_orders(methods: tuple[Method, ...]):
    model = Recipe(*methods).apply(net(), torch.rand(8, 6))
    for name in ("0", "2"):
        whole, _ = integers(model.get_submodule(name))
        assert (whole == 0).sum() >= round(0.75 * whole.size)
        assert abs(whole).max() <= 7


class Shift(Method):
    """Moves every weight off its grid and off zero."""

    def apply(self, model: nn.Module, data: object) -> nn.Module:
        class Moved(nn.Module):
            def forward(self, w: torch.Tensor) -> torch.Tensor:
                return w + 0.01

        parametrize.register_parametrization(model.get_submodule("0"), "weight", Moved())
        return model


def test_lost_structure_is_refused():
    with pytest.raises(StructureError, match=r"0: .* pruned weights are no longer zero"):
        Recipe(Prune(sparsity=0.5), Shift()).apply(net(), torch.rand(8, 6))
    with pytest.raises(StructureError, match="0: the fixed-point grid"):
        Recipe(FixedPoint(), Shift()).apply(net(), torch.rand(8, 6))
    Recipe(Prune(sparsity=0.5), Shift(), allow_loss=True).apply(net(), torch.rand(8, 6))


class Undone(Method):
    """Changes nothing, and so has no structure to show."""

    def apply(self, model: nn.Module, data: object) -> nn.Module:
        return model

    def verify(self, model: nn.Module) -> None:
        raise StructureError("undone: nothing was done")


def test_a_method_that_does_not_do_its_own_work_is_refused():
    with pytest.raises(StructureError, match="nothing was done"):
        Recipe(FixedPoint(), Undone()).apply(net(), torch.rand(8, 6))
    with pytest.raises(StructureError, match="nothing was done"):
        Recipe(Undone(), FixedPoint()).apply(net(), torch.rand(8, 6))
    Recipe(Undone(), allow_loss=True).apply(net(), torch.rand(8, 6))


def test_bad_inputs():
    with pytest.raises(DataError, match="empty"):
        Recipe(FixedPoint()).apply(net(), torch.rand(0, 6))
    with pytest.raises(DataError, match="NaN"):
        Recipe(FixedPoint()).apply(net(), torch.full((2, 6), float("nan")))
    with pytest.raises(DataError, match="input_signed"):
        Recipe(FixedPoint(input_signed=False)).apply(net(), torch.randn(9, 6))
    model = net()
    with torch.no_grad():
        model[2].weight[1, 2] = float("nan")
    for method in (FixedPoint(), Prune(sparsity=0.5)):
        with pytest.raises(RangeError, match=r"2\.weight.*1 of 24"):
            Recipe(method).apply(model, torch.rand(2, 6))
    with pytest.raises(RecipeError, match="not a method"):
        Recipe("prune")


def test_batches_of_pairs_calibrate():
    x = torch.rand(12, 6)
    pairs = [(part, torch.zeros(4)) for part in x.split(4)]
    models = [Recipe(FixedPoint()).apply(net(), data) for data in (x, pairs, (p for p in pairs))]
    states = [model.state_dict() for model in models]
    assert all(torch.equal(value, other[name]) for other in states[1:] for name, value in states[0].items())


@pytest.mark.parametrize("value", ["'no'", "0", "null", "[]"])
def test_allow_loss_is_true_or_false(value):
    with pytest.raises(RecipeError, match=r"allow_loss = .*: write true or false"):
        Recipe.from_yaml(f"allow_loss: {value}\nmethods: []")


def test_methods_are_called_as_the_page_of_their_life_says(monkeypatch):
    """docs/lifecycle.md: apply with verify of all so far; then step, loss, step at 1; then verify."""
    seen: list[tuple[object, ...]] = []

    class First(Method):
        def apply(self, model, data):
            seen.append((self.key(), "apply"))
            return super().apply(model, data)

        def step(self, model, progress):
            seen.append((self.key(), "step", progress))

        def loss(self, model, x, y):
            seen.append((self.key(), "loss"))
            return 0.0

        def verify(self, model):
            seen.append((self.key(), "verify"))

    class Second(First):
        pass

    recipe = Recipe(First(), Second())
    x, y = torch.rand(8, 5), torch.randint(3, (8,))
    model = recipe.apply(nn.Sequential(nn.Linear(5, 3)), x)
    kept = [("first", "verify"), ("second", "verify")]
    assert seen == [("first", "apply"), kept[0], ("second", "apply"), *kept]
    seen.clear()
    fit(model, Dataset("d", *[Split(x, y)] * 3, 3), 1, 0.1, batch=4, methods=recipe.methods)
    each = [[("first", "step", p), ("second", "step", p), ("first", "loss"), ("second", "loss")] for p in (0.0, 0.5)]
    assert seen == [*each[0], *each[1], ("first", "step", 1.0), ("second", "step", 1.0)]
    seen.clear()
    recipe.verify(model)
    assert seen == kept
