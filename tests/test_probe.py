"""The trial before any training: what becomes of a network is near the network, or it is refused."""

import copy

import pytest
import torch
from torch import Tensor, nn

import intaglio as ig
from intaglio import trial
from intaglio.ir.errors import ShapeError, StructureError, UnsupportedLayer
from intaglio.ir.graph import Graph
from intaglio.methods import Method
from intaglio.twin.layers import WEIGHTED
from tests.support.random_networks import RandomNetwork


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


@pytest.mark.parametrize("change", ["bias", "weight"])
def test_a_wrong_lowering_is_refused(change: str, monkeypatch: pytest.MonkeyPatch):
    """A planted fault: lowering negates a parameter of the last layer."""
    right = trial.lower

    def wrong(model: nn.Module, example: Tensor) -> Graph:
        model = copy.deepcopy(model)
        last = [layer for layer in model.modules() if isinstance(layer, WEIGHTED)][-1]
        with torch.no_grad():
            (last.bias if change == "bias" else last.parametrizations.weight.original).neg_()
        return right(model, example)

    ig.check(net(), torch.rand(8, 6))
    monkeypatch.setattr(trial, "lower", wrong)
    for action in (lambda: ig.check(net(), torch.rand(8, 6)),
                   lambda: ig.Recipe(ig.FixedPoint()).apply(net(), torch.rand(8, 6))):  # fmt: skip
        with pytest.raises(UnsupportedLayer, match="more bits do not help"):
            action()


def test_a_network_that_needs_more_bits_is_no_wrong_one():
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.data = torch.tensor([[1000.0, 0.1]])
    x = torch.rand(8, 2) * torch.tensor([0.0, 1.0])
    probe = trial.capture(nn.Sequential(layer), x).eval()
    assert trial._error(probe, trial._lowered(probe, x, trial.PROBE_BITS), x) > 0.5
    ig.check(nn.Sequential(layer), x)


@pytest.mark.parametrize("end", [nn.Softmax(1), nn.LogSoftmax(1), nn.Identity()])
def test_what_leaves_without_a_softmax_is_near_the_logits(end: nn.Module):
    ig.check(nn.Sequential(*net(), end), torch.rand(8, 6))


@pytest.mark.parametrize("seed", range(12))
def test_random_networks_are_near(seed: int):
    network = RandomNetwork(seed)
    x = network.samples(8)
    gm = trial.checked(network, x).eval()
    assert trial._error(gm, trial._lowered(gm, x, trial.PROBE_BITS), x) < trial.NEAR


class Forgetful(Method):
    """Says what it would make, and makes nothing."""

    def verify(self, model: nn.Module) -> None:
        raise StructureError("0: what Forgetful makes is not there")


def test_a_recipe_verifies_the_method_that_it_just_applied():
    with pytest.raises(StructureError, match="Forgetful"):
        ig.Recipe(Forgetful()).apply(net(), torch.rand(8, 6))
    ig.Recipe(Forgetful(), allow_loss=True).apply(net(), torch.rand(8, 6))


def test_a_network_that_was_approximated_is_not_tried_again(monkeypatch: pytest.MonkeyPatch):
    x = torch.rand(8, 6)
    small = ig.Recipe(ig.FixedPoint()).apply(net(), x)
    monkeypatch.setattr(trial, "capture", None)
    again = ig.Recipe(ig.Prune(sparsity=0.5)).apply(small, x)
    assert ig.equal(again, ig.lower(again, x[:1]), x) == 0
    ig.check(again, x)


def test_an_axis_taken_for_the_batch_is_refused():
    """torch takes (1, channels, length) for one image of one channel; hardware would take it for a signal."""
    with pytest.raises(ShapeError, match="torch gives 1 values for each sample, hardware 4"):
        ig.check(nn.Sequential(nn.Conv1d(4, 4, 1), nn.AdaptiveAvgPool2d(1)), torch.rand(1, 4, 6))
