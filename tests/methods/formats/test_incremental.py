"""Incremental quantisation: codebook, portions, what is frozen stays, resuming, equality with the Graph."""

import copy
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from intaglio.ir.errors import RecipeError
from intaglio.methods import FixedPoint, Incremental, Logarithmic, Prune, Recipe
from intaglio.methods.formats.incremental import IncrementalGrid
from intaglio.methods.weights.prune import mask_of
from intaglio.train import fit, load_weights, save_weights
from intaglio.twin.lower import equal, lower
from intaglio.twin.stack import before_grid, grid_of, integers


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


class Blobs:
    """Three clouds of points; inputs (N, 12) and labels (N,)."""

    def __init__(self, count: int = 192) -> None:
        torch.manual_seed(1)
        self.y = torch.arange(count) % 3
        self.x = torch.randn(3, 12)[self.y] + 0.8 * torch.randn(count, 12)

    @property
    def train(self) -> "Blobs":
        return self

    val = train


def grid(model: nn.Module, name: str = "2") -> IncrementalGrid:
    found = grid_of(model.get_submodule(name))
    assert isinstance(found, IncrementalGrid)
    return found


def codebook(weight: np.ndarray, bits: int) -> tuple[int, int]:
    """n1 and n2 of the paper."""
    n1 = math.floor(math.log2(4 * np.abs(weight).max() / 3))
    return n1, n1 + 1 - 2 ** (bits - 1) // 2


def quantised(value: float, n1: int, n2: int) -> float:
    """The paper's equation 4: beta where (alpha + beta) / 2 <= |w| < 3 beta / 2, with alpha and beta neighbours."""
    levels = [0.0, *(2.0**k for k in range(n2, n1 + 1))]
    for alpha, beta in pairwise(levels):
        if (alpha + beta) / 2 <= abs(value) < 3 * beta / 2:
            return math.copysign(beta, value)
    return 0.0


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6])
def test_weights_by_the_paper(bits: int):
    torch.manual_seed(bits)
    for _ in range(5):
        weight = torch.randn(7, 30, dtype=torch.float64) * torch.randn(7, 30).exp()
        n1, n2 = codebook(weight.numpy(), bits)
        found = IncrementalGrid(bits, weight).eval()(weight)
        assert found.flatten().tolist() == [quantised(v, n1, n2) for v in weight.flatten().tolist()]


def test_edges_of_the_codebook():
    weight = torch.tensor([[1.5, 1.4999, 0.75, 0.7499, 0.5, 0.4999, 0.0, -1.5, -0.5]])
    assert IncrementalGrid(3, weight).eval()(weight).tolist() == [[2, 1, 1, 1, 1, 0, 0, -2, -1]]
    assert IncrementalGrid(2, weight).eval()(weight).tolist() == [[2, 2, 0, 0, 0, 0, 0, -2, 0]]


def test_portions_take_the_largest_that_are_free():
    method = Incremental(positions=(0.1, 0.3, 0.5, 0.9))
    model = Recipe(method).apply(net(), Blobs().x)
    weight = before_grid(model.get_submodule("2"))
    assert not grid(model).frozen.any() and torch.equal(model.get_submodule("2").weight, weight)
    for progress, share in ((0.1, 0.5), (0.2, 0.5), (0.3, 0.75), (0.5, 0.875), (0.9, 1.0), (1.0, 1.0)):
        method.step(model, progress)
        frozen = grid(model).frozen
        assert int(frozen.sum()) == round(share * 128)
        assert share == 1 or weight.abs()[frozen].min() >= weight.abs()[~frozen].max()
        now = model.get_submodule("2").weight
        n1, n2 = codebook(weight.numpy(), 5)
        codes = [quantised(v, n1, n2) for v in weight.flatten().tolist()]
        expected = torch.where(frozen, torch.tensor(codes).reshape(8, 16), weight)
        assert torch.equal(now, expected)


def test_frozen_weights_count_wherever_the_optimiser_moves_them():
    method = Incremental()
    model = Recipe(method).apply(net(), Blobs().x)
    first, scale, held = grid(model).frozen.clone(), grid(model).scales(), grid(model).held.clone()
    with torch.no_grad():
        original = model.get_submodule("2").parametrizations.weight.original
        original.mul_(torch.where(first, 0.001, 8.0))
    method.step(model, 0.25)
    assert int(grid(model).frozen.sum()) == 96 and grid(model).frozen[first].all()
    assert grid(model).scales() == scale and torch.equal(grid(model).held[first], held[first])


def test_frozen_weights_stay_and_the_others_train():
    data, method = Blobs(), Incremental()
    model = Recipe(method).apply(net(), data.x)
    frozen = grid(model).frozen.clone()
    before = model.get_submodule("2").weight.detach().clone()
    assert frozen.float().mean() == 0.5
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        F.cross_entropy(model(data.x), data.y).backward()
        gradient = model.get_submodule("2").parametrizations.weight.original.grad
        assert not gradient[frozen].any() and gradient[~frozen].any()
        optimizer.step()
    after = model.get_submodule("2").weight.detach()
    assert torch.equal(before[frozen], after[frozen]) and (before[~frozen] != after[~frozen]).all()


def test_evaluation_is_quantised_at_any_time():
    data, method = Blobs(), Incremental(bits=3)
    model = Recipe(method).apply(net(), data.x)
    for progress in (0.0, 0.25, 1.0):
        method.step(model, progress)
        whole, _ = integers(model.get_submodule("2"))
        assert set(np.abs(whole).ravel().tolist()) <= {0, 1, 2}
        assert equal(model, lower(model, data.x[:1]), data.x) == 0
    training = model.train().get_submodule("2").weight
    assert torch.equal(training, model.eval().get_submodule("2").weight)


def test_training_lowers_the_loss_down_to_the_end():
    data, method = Blobs(), Incremental(bits=4)
    model = Recipe(method).apply(net(), data.x)
    history = fit(model, data, 12, 0.01, batch=32, methods=[method])
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    assert history[-1]["top1"] > 90 and all(grid(model, name).frozen.all() for name in ("0", "2", "5"))


def test_a_resumed_run_ends_the_same(tmp_path):
    data, method = Blobs(), Incremental(positions=(0.1, 0.4, 0.6, 0.8))

    class Killed(Exception):
        pass

    def kill(epoch: int, record: dict[str, float]) -> None:
        if epoch == 3:
            raise Killed

    ends = []
    for folder in (None, tmp_path):
        model = Recipe(method).apply(net(), data.x)
        if folder:
            with pytest.raises(Killed):
                fit(copy.deepcopy(model), data, 6, 0.01, methods=[method], callbacks=[kill], checkpoint=folder)
        fit(model, data, 6, 0.01, methods=[method], checkpoint=folder)
        ends.append(model.state_dict())
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def test_files_hold_what_is_frozen(tmp_path):
    data, method = Blobs(), Incremental()
    model = Recipe(method).apply(net(), data.x)
    fit(model, data, 2, 0.01, methods=[Incremental(positions=(0.0, 0.25, 0.5, 0.9))])
    save_weights(model, tmp_path / "a.safetensors")
    again = load_weights(Recipe(method).apply(net(), 2 * data.x), tmp_path / "a.safetensors")
    assert lower(again, data.x[:1]) == lower(model, data.x[:1])
    method.step(again, 0.0)  # already frozen
    assert torch.equal(grid(again).frozen, grid(model).frozen)
    assert lower(copy.deepcopy(model).double(), data.x[:1]) == lower(model, data.x[:1])


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("schedule", ["one_shot", "gradual"])
def test_masks_below_stay_zero(order: tuple[int, int], schedule: str):
    data = Blobs()
    methods = [Incremental(), Prune(sparsity=0.6, schedule=schedule, begin=0.1, end=0.9)]
    recipe = Recipe(*(methods[i] for i in order))
    model = recipe.apply(net(), data.x)
    fit(model, data, 5, 0.01, methods=recipe.methods)
    recipe.verify(model)
    whole, _ = integers(model.get_submodule("2"))
    mask = mask_of(model.get_submodule("2"))
    assert mask is not None and not whole[mask.mask.numpy() == 0].any() and (whole == 0).mean() >= 0.6
    assert equal(model, lower(model, data.x[:1]), data.x) == 0


def test_shares_count_what_is_not_pruned():
    method = Incremental()
    model = Recipe(Prune(sparsity=0.5), method).apply(net(), Blobs().x)
    assert int(grid(model).frozen.sum()) == 32


def test_zeros_constants_and_a_single_weight():
    zeros = torch.zeros(2, 3)
    assert IncrementalGrid(4, zeros).eval()(zeros).tolist() == zeros.tolist()
    constant = torch.full((2, 3), -0.3)
    assert IncrementalGrid(4, constant).eval()(constant).unique().tolist() == [-0.25]
    single = torch.tensor([[0.8]], dtype=torch.float64)
    one = IncrementalGrid(2, single)
    one.freeze(single, 1.0, 4)
    assert one.train()(single).tolist() == [[1.0]] and one.frozen.all() and one.held.dtype == torch.float64


def test_knobs_that_make_no_sense():
    for knobs in ({"shares": (0.5, 0.4, 1.0)}, {"shares": (0.5,)}, {"positions": (0.0, 0.5)}, {"shares": ()},
                  {"shares": (0.5, 0.9)}, {"bits": 1}, {"positions": (0.0, 0.2, 0.2, 0.3)}):  # fmt: skip
        with pytest.raises(RecipeError, match="incremental"):
            Incremental(**knobs)


def test_of_two_the_later_wins():
    methods = Incremental(bits=3), Incremental(bits=4, select="2", positions=(0.5, 0.6, 0.7, 0.8))
    model = Recipe(FixedPoint(), *methods).apply(net(), Blobs().x)
    for method in methods:
        method.step(model, 0.25)
    assert [grid(model, name).high for name in ("0", "2", "5")] == [2, 8, 2]
    assert [int(grid(model, name).stage) for name in ("0", "2", "5")] == [2, 0, 2]
    model = Recipe(*methods, Logarithmic()).apply(net(), Blobs().x)
    methods[0].step(model, 1.0)  # nothing of its own is left


def test_copies_keep_their_state_apart():
    method = Incremental()
    model = Recipe(method).apply(net(), Blobs().x)
    other = copy.deepcopy(model)
    method.step(other, 1.0)
    assert grid(other).frozen.all() and grid(model).frozen.float().mean() == 0.5


def test_gradients_reach_free_weights_only():
    weight = torch.tensor([[4.0, 1.0, 0.6, 0.1]], requires_grad=True)
    part = IncrementalGrid(3, weight.detach())
    part.freeze(weight.detach(), 0.5, 1)
    upstream = torch.tensor([[1.0, 2, 3, 4]])
    (gradient,) = torch.autograd.grad((part(weight) * upstream).sum(), [weight])
    assert gradient.tolist() == [[0, 0, 3, 4]]
    (gradient,) = torch.autograd.grad((part.eval()(weight) * upstream).sum(), [weight])
    assert gradient.tolist() == [[0, 0, 3, 4]]  # straight through in evaluation as well
