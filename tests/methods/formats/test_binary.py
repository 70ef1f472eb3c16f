"""Binary weights and sign activations: formulas, gradients, where signs and borders go, and the integers."""

import copy
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from intaglio.ir.errors import RangeError, RecipeError, StructureError, UnsupportedLayer
from intaglio.ir.ops import Pad
from intaglio.methods import Binary, FixedPoint, Recipe
from intaglio.methods.formats.binary import BinaryWeights, SignQuantizer
from intaglio.twin.lower import equal, lower
from intaglio.twin.stack import grid_of, integers


def eight_bits(value: float) -> float:
    """The nearest m * 2**-k with m of 8 bits."""
    step = 2.0 ** (np.floor(np.log2(value)) - 7)
    return float(np.floor(value / step + 0.5) * step)


def cnn() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(),
                         nn.Linear(96, 5))  # fmt: skip


def signed(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, SignQuantizer)]


def fitted(model: nn.Module, recipe: Recipe, x: torch.Tensor, y: torch.Tensor, steps: int = 40) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    model.train()
    for _ in range(steps):
        for method in recipe.methods:
            method.step(model, 0.5)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("scale", ["one", "layer", "channel"])
def test_weights_are_scaled_signs(scale: str):
    model = Recipe(Binary(scale=scale)).apply(cnn(), torch.rand(8, 1, 8, 8)).eval()
    for name in ("0", "4", "8"):
        weight, layer = cnn().get_submodule(name).weight.detach().numpy(), model.get_submodule(name)
        rows = np.abs(weight.astype(np.float64)).reshape(len(weight) if scale == "channel" else 1, -1)
        alpha = np.array([1.0 if scale == "one" else eight_bits(row.mean()) for row in rows])
        expected = np.where(weight >= 0, 1, -1) * alpha.reshape(-1, *[1] * (weight.ndim - 1))
        assert np.array_equal(layer.weight.detach().numpy().astype(np.float64), expected)
        whole, scales = integers(layer)
        assert set(np.unique(whole)) == {-1, 1} and [float(s) for s in scales] == alpha.tolist()


def test_zero_of_either_sign_is_positive():
    grid = BinaryWeights(torch.ones(1, 3), "one", False).eval()
    assert grid(torch.tensor([[0.0, -0.0, -1e-30]])).tolist() == [[1, 1, -1]]
    quantizer = SignQuantizer()
    assert quantizer(torch.tensor([0.0, -0.0, -1e-30, 2.0])).tolist() == [1, 1, -1, 1]
    assert quantizer.levels() == (-1, 1) and quantizer.edges() == (0,) and quantizer.scale == 1
    assert [quantizer.quantize(Fraction(v)) for v in (0, -1e-30, 5)] == [1, -1, 1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_pass_within_one_and_at_one(dtype: torch.dtype):
    x = torch.tensor([-1.5, -1.0, -0.3, 0.0, 1.0, 1.0001, 7.0], dtype=dtype).requires_grad_()
    weights = torch.arange(1.0, 8.0, dtype=dtype)
    expected = (weights * (x.detach().abs() <= 1)).tolist()
    assert torch.autograd.grad((SignQuantizer()(x) * weights).sum(), x)[0].tolist() == expected
    grid = BinaryWeights(torch.full((7,), 0.25, dtype=dtype), "layer", False)
    assert torch.autograd.grad((grid(x) * weights).sum(), x)[0].tolist() == expected


def test_latent_weights_are_clipped():
    method = Binary(select="8")
    model = Recipe(method).apply(cnn(), torch.rand(8, 1, 8, 8))
    latent = [model.get_submodule(name).parametrizations.weight.original for name in ("4", "8")]
    with torch.no_grad():
        for weight in latent:
            weight.mul_(30)
    method.step(model, 0.3)
    assert latent[1].abs().max() == 1 and latent[0].abs().max() > 2


def test_latent_weights_of_stochastic_training_are_clipped_to_their_first_mean():
    method = Binary(stochastic=True)
    model = Recipe(method).apply(cnn(), torch.rand(8, 1, 8, 8))
    method.step(model, 0.0)
    for name in ("0", "4", "8"):
        latent = model.get_submodule(name).parametrizations.weight.original
        assert latent.abs().max() == cnn().get_submodule(name).weight.abs().mean() > 0.02


def test_stochastic_signs_have_the_stated_probability():
    torch.manual_seed(0)
    weight = torch.tensor([-0.3, -0.1, 0.0, 0.05, 0.2, 0.3]).repeat(4000, 1)
    reach = float(weight.abs().mean())
    grid = BinaryWeights(weight, "one", True)
    share = (grid(weight) > 0).double().mean(0)
    expected = torch.clamp((weight[0].double() / reach + 1) / 2, 0, 1)
    assert (share - expected).abs().max() < 0.03 and share[0] == 0 and share[-1] == 1
    gradient = torch.autograd.grad(grid(weight.requires_grad_()).sum(), weight)[0]
    assert torch.equal(gradient, (weight.abs() <= reach).float())


def test_evaluation_is_not_random():
    model = Recipe(Binary(stochastic=True)).apply(cnn().eval(), torch.rand(8, 1, 8, 8))
    x = torch.rand(8, 1, 8, 8)
    assert torch.equal(model(x), model(x))  # in evaluation mode as the network was, without a call of eval()
    model.train()
    weight = model.get_submodule("8")
    assert not torch.equal(weight.weight, weight.weight)
    assert np.array_equal(integers(weight)[0], np.where(weight.parametrizations.weight.original.detach() >= 0, 1, -1))
    state = torch.get_rng_state()
    first = model(x)
    torch.set_rng_state(state)
    assert torch.equal(first, model(x))


def test_scales_follow_the_weight_only_in_training():
    model = Recipe(Binary(scale="layer")).apply(cnn().eval(), torch.rand(8, 1, 8, 8))
    layer = model.get_submodule("8")
    before = grid_of(layer).scales()
    with torch.no_grad():
        layer.parametrizations.weight.original.mul_(4)
    assert float(layer.weight.detach().abs().max()) == float(before[0]) and grid_of(layer).scales() == before
    layer.train()
    assert float(layer.weight.detach().abs().max()) == 4 * float(before[0])
    assert grid_of(layer).scales() == (4 * before[0],)
    assert integers(copy.deepcopy(layer))[1] == grid_of(layer).scales()


@pytest.mark.parametrize("knobs", [{}, {"scale": "layer", "stochastic": True}, {"scale": "one", "activations": True}],
                         ids=["weights", "stochastic", "signs"])  # fmt: skip
def test_training_lowers_the_loss_and_integers_agree(knobs: dict[str, object]):
    torch.manual_seed(1)
    x, y = torch.rand(48, 1, 8, 8), torch.arange(48) % 5
    x[torch.arange(48), 0, y, y + 2] += 2
    recipe = Recipe(Binary(**knobs))
    model = recipe.apply(cnn(), x)
    losses = fitted(model, recipe, x, y)
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:3])
    recipe.verify(model)
    assert equal(model, lower(model, x[:1]), x) == 0


def test_signs_replace_clips_and_come_behind_a_norm_behind_a_pool():
    layers = [nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.BatchNorm2d(4), nn.ReLU6(), nn.Conv2d(4, 4, 2), nn.Hardtanh(),
              nn.Conv2d(4, 4, 1), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(4, 3)]  # fmt: skip
    x = torch.rand(8, 1, 8, 8)
    model = Recipe(Binary(activations=True, scale="one")).apply(nn.Sequential(*layers), x)
    assert signed(model) == ["3_quantizer", "5_quantizer", "6_quantizer"]
    assert not any(isinstance(module, nn.ReLU | nn.Hardtanh) for module in model.modules())
    values = [set(model.get_submodule(name)(torch.randn(50)).tolist()) for name in signed(model)]
    assert values == [{-1.0, 1.0}] * 3
    assert equal(model, lower(model, x[:1]), torch.rand(50, 1, 8, 8)) == 0


def test_selected_convolutions_that_read_signs_are_padded_with_minus_one():
    x = torch.rand(8, 1, 8, 8)
    model = Recipe(Binary(activations=True)).apply(cnn(), x).eval()
    pad, layer = model.get_submodule("4_pad"), model.get_submodule("4")
    assert isinstance(pad, nn.ConstantPad2d) and pad.padding == (1, 1, 1, 1) and pad.value == -1
    assert layer.padding == (0, 0) and model.get_submodule("0").padding == (1, 1)
    image = torch.where(torch.rand(2, 4, 4, 4) < 0.5, -1.0, 1.0)
    bordered = torch.full((2, 4, 6, 6), -1.0)
    bordered[:, :, 1:-1, 1:-1] = image
    torch.testing.assert_close(layer(pad(image)), F.conv2d(bordered, layer.weight, layer.bias))
    graph = lower(model, x[:1], optimised=False)
    assert [node.op.value for node in graph.nodes if isinstance(node.op, Pad)] == [-1]
    assert equal(model, graph, x) == 0


def test_borders_of_two_sizes():
    x = torch.rand(8, 1, 8, 8)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, (3, 5), padding=(1, 2)), nn.ReLU(),
                        nn.Conv2d(2, 3, (3, 1), padding="same"))  # fmt: skip
    model = Recipe(Binary(activations=True)).apply(net, x)
    assert model(x).shape == net(x).shape == (8, 3, 6, 6)
    assert [model.get_submodule(name).padding for name in ("2_pad", "4_pad")] == [(2, 2, 1, 1), (0, 0, 1, 1)]
    assert equal(model, lower(model, x[:1]), x) == 0


def test_other_convolutions_keep_their_zeros():
    x = torch.rand(8, 1, 8, 8)
    model = Recipe(Binary(activations=True, select="0")).apply(cnn(), x)
    assert signed(model) == ["2_quantizer"] and model.get_submodule("4").padding == (1, 1)
    assert equal(model, lower(model, x[:1]), x) == 0


class Twice(nn.Module):
    """A convolution called twice, once behind a sign and once not if `other` reads the input."""

    def __init__(self, other: bool) -> None:
        super().__init__()
        self.first, self.again, self.other = nn.Conv1d(1, 1, 1), nn.Conv1d(1, 1, 5, padding="same", dilation=2), other

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.again(self.again(x if self.other else self.first(x).relu()).relu())


def test_a_convolution_called_twice():
    torch.manual_seed(3)
    x = torch.rand(8, 1, 12)
    padded = Recipe(Binary(activations=True)).apply(Twice(False), x)
    pads = [module for module in padded.modules() if isinstance(module, nn.ConstantPad1d)]
    assert [(pad.padding, pad.value) for pad in pads] == [((4, 4), -1), ((4, 4), -1)]
    zeros = Recipe(Binary(activations=True, select="again")).apply(Twice(True), x)
    assert not any(isinstance(module, nn.ConstantPad1d) for module in zeros.modules())
    assert equal(padded, lower(padded, x[:1]), x) == 0 and equal(zeros, lower(zeros, x[:1]), x) == 0


def test_signs_replaced_later_are_noticed():
    with pytest.raises(StructureError, match=r"0: its SignQuantizer is gone.*put that method before Binary"):
        Recipe(Binary(activations=True), FixedPoint(activation_bits=4)).apply(cnn(), torch.rand(8, 1, 8, 8))
    Recipe(FixedPoint(activation_bits=4), Binary(activations=True)).apply(cnn(), torch.rand(8, 1, 8, 8))


def test_refusals():
    with pytest.raises(RecipeError, match="no selected layer has an activation behind it"):
        Recipe(Binary(activations=True, select="8")).apply(cnn(), torch.rand(8, 1, 8, 8))
    model = cnn()
    nn.init.zeros_(model[4].weight)
    with pytest.raises(RangeError, match=r"4: all weights are zero.*`select`"):
        Recipe(Binary()).apply(model, torch.rand(8, 1, 8, 8))


def test_a_channel_of_zeros_stays_small():
    model = cnn()
    nn.init.zeros_(model[4].weight[2])
    layer = Recipe(Binary()).apply(model, torch.rand(8, 1, 8, 8)).get_submodule("4")
    scales = grid_of(layer).scales()
    assert min(scales) == scales[2] and float(scales[2] / max(scales)) == pytest.approx(2**-10, rel=2**-7)


def test_one_weight_constant_weights_and_float64():
    for weight in ([[-0.3]], [[0.5, 0.5, 0.5]], [[-0.1, -0.1]]):
        net = nn.Sequential(nn.Linear(len(weight[0]), 1)).double()
        net[0].weight.data = torch.tensor(weight, dtype=torch.float64)
        x = torch.rand(4, len(weight[0]), dtype=torch.float64)
        model = Recipe(Binary()).apply(net, x)
        assert model(x).dtype == model.get_submodule("0").weight.dtype == torch.float64
        assert equal(model, lower(model, x[:1]), x) == 0


def test_sums_of_ones_are_calibrated_where_no_norm_follows():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    x = torch.rand(64, 64)
    plain, grown = Recipe(FixedPoint()).apply(net, x), Recipe(Binary(scale="one")).apply(net, x)
    tops = [float(m.get_submodule(name).scale) * 255 for m in (plain, grown) for name in ("1_quantizer", "4_quantizer")]
    with torch.no_grad():
        largest = float(F.linear(x, torch.where(net[0].weight >= 0, 1.0, -1.0), net[0].bias).max())
    assert tops[2] > 4 * tops[0] and tops[2] > 0.5 * largest and tops[3] == tops[1]


def test_padding_in_general():
    x = torch.rand(4, 1, 6, 6)
    pads = (nn.ZeroPad2d(2), 0), (nn.ConstantPad2d((1, 1, 2, 2), 0.25), 64), (nn.ConstantPad2d(1, 0.3), 77)
    for pad, value in pads:
        model = Recipe(FixedPoint()).apply(nn.Sequential(pad, nn.Conv2d(1, 2, 3)), x)
        graph = lower(model, x[:1], optimised=False)
        assert [node.op.value for node in graph.nodes if isinstance(node.op, Pad)] == [value]
        assert equal(model, graph, x) == 0
    with pytest.raises(UnsupportedLayer, match=r"0 .*pads one side more"):
        Recipe(FixedPoint()).apply(nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(1, 2, 3)), x)
