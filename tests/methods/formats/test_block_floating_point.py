"""Block floating point: blocks of weights, alignment of activations, where it goes, equality with the Graph."""

import copy
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import GraphModule

from intaglio.ir.errors import RecipeError, ShapeError, StructureError, UnsupportedLayer
from intaglio.ir.ops import Align
from intaglio.methods import BlockFloatingPoint, FixedPoint, Prune, Recipe
from intaglio.methods.formats.block_floating_point import BlockGrid
from intaglio.train import load_weights, save_weights
from intaglio.twin.align import BlockAlign, align
from intaglio.twin.flat import module_of
from intaglio.twin.lower import equal, lower
from intaglio.twin.placement import chains
from intaglio.twin.quantizers import ActivationQuantizer
from intaglio.twin.stack import grid_of, integers


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 2), nn.ReLU(),
        nn.Flatten(), nn.Dropout(0.1), nn.Linear(72, 12), nn.ReLU(), nn.Linear(12, 3),
    )  # fmt: skip


def data(count: int = 48) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    x = torch.rand(count, 1, 10, 10)
    return x, x[:, :, :9].reshape(count, 3, 30).sum(2).argmax(1)


def block(values: list[float], mantissa: int, least: float = 0.0, most: float = math.inf) -> list[float]:
    """The formula of the docstring for one block, steps kept within least .. most."""
    top, end = max(abs(v) for v in values), 2 ** (mantissa - 1) - 1
    step = 2.0 ** (math.floor(math.log2(top)) + 2 - mantissa) if top else 1.0
    step = min(max(step, least), most)
    return [min(max(math.floor(v / step + 0.5), -end), end) * step for v in values]


@pytest.mark.parametrize("mantissa", [2, 4, 8])
def test_weights_by_the_formula(mantissa: int):
    torch.manual_seed(mantissa)
    sizes = torch.randn(4, 3, 3).mul(2).exp().repeat_interleave(4, 1)
    weight = torch.randn(4, 12, 3, dtype=torch.float64) * sizes
    weight[0, :4, 0] = 0
    grid = BlockGrid(weight, 4, 1, mantissa, 4)
    least = float(grid.scales()[0])
    found = grid(weight)
    for row in range(4):
        for tap in range(3):
            for first in (0, 4, 8):
                part = weight[row, first : first + 4, tap].tolist()
                assert found[row, first : first + 4, tap].tolist() == block(part, mantissa, least, least * 2**15)
    errors = (found - weight).abs()
    assert errors.max() <= weight.abs().max() * 2.0 ** (2 - mantissa)


def test_blocks_of_a_linear_behind_pixels_are_channels():
    torch.manual_seed(0)
    weight = torch.randn(5, 8, 9) * torch.randn(5, 2, 9).mul(2).exp().repeat_interleave(4, 1)
    flat = BlockGrid(weight, 4, 9, 5, 4)(weight.reshape(5, 72))
    assert torch.equal(flat.reshape(5, 8, 9), BlockGrid(weight, 4, 1, 5, 4)(weight))


@pytest.mark.parametrize(("bits", "spare"), [(1, 0), (2, 1), (3, 2), (4, 4)])
def test_a_quarter_of_the_exponents_is_for_growth(bits: int, spare: int):
    weight = torch.tensor([[1.0, 0.3, -0.2, 0.9]])
    grid = BlockGrid(weight, 4, 1, 3, bits)
    whole = (grid(weight) / float(grid.scales()[0])).abs().max()
    assert whole == 2 << (2**bits - 1 - spare)
    assert grid(weight * 2**spare).abs().max() == 2**spare
    assert grid(weight * 2 ** (spare + 2)).abs().max() == 1.5 * 2**spare  # beyond: the largest mantissa


def test_integers_have_a_common_exponent_per_block():
    x, _ = data()
    model = Recipe(BlockFloatingPoint(block=4, weight_mantissa=5)).apply(net(), x)
    layers = {"0": (1, 1), "4": (4, 1), "8": (4, 9), "10": (4, 1)}
    for name, (size, pixels) in layers.items():
        whole, scales = integers(model.get_submodule(name))
        assert len(scales) == 1
        channels = whole.shape[1] // pixels
        blocks = np.abs(whole.reshape(len(whole), channels // size, size, -1))
        top = blocks.max(2, keepdims=True)
        exponent = np.maximum(np.frexp(top.astype(float))[1] - 4, 0)
        assert not (blocks % (1 << exponent)).any() and (blocks >> exponent).max() <= 15


def test_gradients_of_weights():
    grid = BlockGrid(torch.tensor([[1.0, 0.5]]), 2, 1, 3, 2)  # the largest step is 1: weights up to 3.5
    weight = torch.tensor([[0.7, -3.4], [0.0, 3.6], [100.0, 0.1]], requires_grad=True)
    (gradient,) = torch.autograd.grad((grid(weight) * torch.arange(1.0, 7).reshape(3, 2)).sum(), [weight])
    assert gradient.tolist() == [[1, 2], [3, 0], [0, 6]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("size", "mantissa"), [(1, 1), (1, 4), (4, 1), (4, 3), (8, 7)])
def test_alignment_is_the_operation(dtype: torch.dtype, size: int, mantissa: int):
    rng = np.random.default_rng(0)
    for low, high in ((0, 4095), (-2048, 2047), (-300, 5)):
        shape = (8, 5, 6)
        whole = np.round(rng.uniform(low, high, (40, *shape)) * rng.choice([1, 0.1, 0.01, 0], (40, *shape)))
        powers = np.array([v for k in range(12) for v in (1 << k, (1 << k) - 1, (1 << k) + 1) if v <= high] or [0])
        whole.ravel()[: len(powers)] = powers
        whole.ravel()[300 : 300 + len(powers)] = np.maximum(-powers, low)
        expected = Align(size, mantissa).execute(whole.astype(np.int64))
        for log2 in (-9, 0, 3):
            x = torch.from_numpy(whole).to(dtype) * 2.0**log2
            found = align(x, size, mantissa) * 2.0**-log2
            assert np.array_equal(found.numpy(), expected.astype(found.numpy().dtype))


def test_alignment_of_vectors_and_its_gradient():
    x = torch.randint(-500, 500, (6, 8)).double().requires_grad_()
    module = BlockAlign(4, 3)
    upstream = torch.randn(6, 8, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((module(x) * upstream).sum(), [x])
    assert torch.equal(gradient, upstream)
    assert module(torch.zeros(2, 8)).eq(0).all()
    assert module(torch.full((1, 8), torch.nan)).isnan().all()


def aligned(model: GraphModule) -> dict[str, tuple[str, int, int]]:
    """For each BlockAlign by the layer behind it: what it reads, its block and its mantissa."""
    found = {}
    for node in model.graph.nodes:
        module = module_of(model, node)
        if isinstance(module, BlockAlign):
            (user,) = node.users
            while module_of(model, user) is None or not hasattr(module_of(model, user), "weight"):
                (user,) = user.users
            found[str(user.target)] = (str(node.all_input_nodes[0].target), module.block, module.mantissa)
    return found


def test_alignment_goes_before_layers_where_channels_are():
    x, _ = data()
    method = BlockFloatingPoint(block=4, activation_mantissa=5, width=11)
    model = Recipe(method).apply(net(), x)
    found = aligned(model)
    assert found == {
        "0": ("input_quantizer", 1, 5), "4": ("3", 4, 5), "8": ("5_quantizer", 4, 5), "10": ("9_quantizer", 4, 5),
    }  # fmt: skip
    widths = [module.bits for module in model.modules() if isinstance(module, ActivationQuantizer)]
    assert sorted(widths) == [8, 11, 11, 11]
    assert all(chain.quantizer is not None for chain in chains(model))
    assert model.training and not Recipe(method).apply(net().eval(), x).training


def test_wide_quantisers_have_room_to_grow():
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Linear(1, 1))
    model[0].weight.data.fill_(0.5)
    model = Recipe(BlockFloatingPoint(activation_mantissa=4, width=12)).apply(model, torch.ones(3, 1))
    quantizer = model.get_submodule("1_quantizer")
    assert quantizer.high == 4095 and quantizer.scale == Fraction(1, 2**12) * 4  # 2**-13 holds 0.49994 at most


def test_signed_activations_count_their_sign():
    x = torch.randn(32, 8)
    model = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    model = Recipe(BlockFloatingPoint(block=4, activation_mantissa=5)).apply(model, x)
    assert [m.mantissa for m in model.modules() if isinstance(m, BlockAlign)] == [4, 4, 5]
    assert equal(model, lower(model, x[:1]), x) == 0


def test_narrow_integers_are_not_aligned():
    x, _ = data()
    model = Recipe(FixedPoint(input_bits=4), BlockFloatingPoint(activation_mantissa=4, block=4)).apply(net(), x)
    assert set(aligned(model)) == {"4", "8", "10"}


class Branches(nn.Module):
    """One pooled tensor read by two convolutions and an addition, one flattened tensor read by two layers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.pool = nn.Conv2d(1, 8, 3), nn.MaxPool2d(2)
        self.a, self.b = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.c, self.d, self.e = nn.Linear(128, 6), nn.Linear(128, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu(self.stem(x)))
        x = F.relu(self.a(x) + self.b(x) + x)
        x = x.view(x.size(0), -1)
        return self.e(F.relu(self.c(x) + self.d(x)))


@pytest.mark.parametrize("select", ["*", ("a", "c"), ("b", "d", "e")])
def test_only_selected_layers_read_aligned_values(select: str | tuple[str, ...]):
    x, _ = data()
    method = BlockFloatingPoint(block=8, activation_mantissa=3, select=select)
    model = Recipe(method).apply(Branches(), x)
    reads = {}
    for node in model.graph.nodes:
        if node.op == "call_module" and hasattr(module_of(model, node), "weight"):
            source, seen = node.all_input_nodes[0], False
            while source.op != "placeholder":
                seen |= isinstance(module_of(model, source), BlockAlign)
                if isinstance(module_of(model, source), ActivationQuantizer):
                    break
                source = source.all_input_nodes[0]
            reads[str(node.target)] = seen
    chosen = set(reads) if select == "*" else set(select)
    assert {name for name, seen in reads.items() if seen} == chosen
    count = {"*": 4, ("a", "c"): 2, ("b", "d", "e"): 3}[select]
    assert sum(isinstance(module, BlockAlign) for module in model.modules()) == count  # shared where they are equal
    assert equal(model, lower(model, x[:1]), x) == 0


def test_a_later_one_replaces_the_alignment():
    x, _ = data()
    first = BlockFloatingPoint(block=4, activation_mantissa=5)
    model = Recipe(first, first.replaced(block=2, activation_mantissa=3, select="8")).apply(net(), x)
    assert {name: entry[1:] for name, entry in aligned(model).items()} == {
        "0": (1, 5), "4": (4, 5), "8": (2, 3), "10": (4, 5),
    }  # fmt: skip
    assert equal(model, lower(model, x[:1]), x) == 0


@pytest.mark.parametrize("knobs", [{}, {"activation_mantissa": 4}, {"activation_mantissa": 3, "width": 16}])
@pytest.mark.parametrize("trained", [False, True])
def test_torch_equals_the_graph(knobs: dict[str, int], trained: bool):
    x, y = data()
    model = Recipe(BlockFloatingPoint(block=4, **knobs)).apply(net(), x)
    if trained:
        train(model, x, y, 6)
    graph = lower(model, x[:1])
    assert equal(model, graph, x) == 0
    assert sum(isinstance(node.op, Align) for node in graph.nodes) == (4 if knobs else 0)


def test_one_dimensional_signals():
    x = torch.randn(20, 3, 12)
    model = nn.Sequential(nn.Conv1d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(6, 6, 3, groups=2),
                          nn.ReLU(), nn.Flatten(), nn.Linear(24, 3))  # fmt: skip
    model = Recipe(BlockFloatingPoint(block=3, activation_mantissa=4)).apply(model, x)
    assert equal(model, lower(model, x[:1]), x) == 0
    assert {name: entry[1] for name, entry in aligned(model).items()} == {"0": 3, "3": 3, "6": 3}


def train(model: nn.Module, x: Tensor, y: Tensor, steps: int) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model.train()(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_training_lowers_the_loss():
    x, y = data(64)
    model = net()
    train(model, x, y, 20)
    losses = train(Recipe(BlockFloatingPoint(block=4, activation_mantissa=3)).apply(model, x), x, y, 40)
    assert np.mean(losses[-5:]) < 0.4 * np.mean(losses[:3])


def test_blocks_that_do_not_divide():
    x, _ = data()
    with pytest.raises(
        ShapeError, match=r"4: blocks of 3 do not divide its 8 input channels; choose a divisor such as 2"
    ):
        Recipe(BlockFloatingPoint(block=3)).apply(net(), x)
    with pytest.raises(
        ShapeError, match=r"10: blocks of 8 do not divide its 12 input channels; .* 6, or leave .*`select`"
    ):
        Recipe(BlockFloatingPoint(block=8)).apply(net(), x)
    with pytest.raises(ShapeError, match="8: blocks of 6 do not divide its 8 input"):
        Recipe(BlockFloatingPoint(block=6, select="8")).apply(net(), x)  # 72 inputs are 8 channels of 9 pixels
    with pytest.raises(ShapeError, match="its 7 input channels; choose 1"):
        Recipe(BlockFloatingPoint(block=4)).apply(nn.Sequential(nn.Linear(7, 2)), torch.rand(4, 7))
    with pytest.raises(ShapeError, match=r"does not accept data of shape \(1, 5\)"):
        BlockFloatingPoint().apply(Recipe(FixedPoint()).apply(net(), x), torch.rand(3, 5))


def test_a_border_is_aligned_with_what_it_surrounds():
    torch.manual_seed(0)
    x = torch.rand(16, 4, 6, 6)
    model = nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU(), nn.ZeroPad2d(1), nn.Conv2d(4, 4, 3))
    model = BlockFloatingPoint(block=4, activation_mantissa=4).apply(model, x).eval()
    graph = lower(model, x[:1])
    assert sum(isinstance(node.op, Align) for node in graph.nodes) == 2
    assert equal(model, graph, x) == 0


def test_what_cannot_be_aligned():
    x = torch.rand(8, 6)
    model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 2))
    half = Recipe(FixedPoint()).apply(model, x)
    node = next(n for n in half.graph.nodes if str(n.target) == "0_quantizer")
    node.replace_all_uses_with(node.all_input_nodes[0])
    half.graph.erase_node(node)
    half.recompile()
    with pytest.raises(UnsupportedLayer, match=r"1: reads _0, which is not quantised.*FixedPoint"):
        Recipe(BlockFloatingPoint(activation_mantissa=3)).apply(half, x)
    dyadic = FixedPoint(activation_scale="dyadic", weight_bits=4)
    methods = BlockFloatingPoint(activation_mantissa=3), dyadic
    with pytest.raises(StructureError, match=r"0_quantizer: a later method gave it a scale.*before BlockFloatingPoint"):
        Recipe(*methods).apply(model, 5 * x)
    model = Recipe(*methods, allow_loss=True).apply(model, 5 * x)
    with pytest.raises(UnsupportedLayer, match=r"1_align \(BlockAlign\): .* not a power of two"):
        lower(model, x[:1])
    with pytest.raises(RecipeError, match="width 8 must exceed activation_mantissa 8"):
        BlockFloatingPoint(width=8, activation_mantissa=8)


def test_zeros_constants_and_a_single_weight():
    for weight in (torch.zeros(2, 4), torch.full((2, 4), -0.75), torch.tensor([[0.75, 0, 0, 0]])):
        assert torch.equal(BlockGrid(weight, 4, 1, 4, 2)(weight), weight)
    single = torch.tensor([[-3.0]])
    assert BlockGrid(single, 1, 1, 3, 1)(single).item() == -3.0


def test_copies_files_and_precisions_agree(tmp_path):
    x, y = data()
    recipe = Recipe(BlockFloatingPoint(block=4, activation_mantissa=4), Prune(sparsity=0.5))
    model = recipe.apply(net(), x)
    train(model, x, y, 3)
    recipe.verify(model)
    graph = lower(model, x[:1])
    assert lower(copy.deepcopy(model).double(), x[:1]) == graph
    save_weights(model, tmp_path / "a.safetensors")
    again = load_weights(recipe.apply(net(), 3 * x), tmp_path / "a.safetensors")
    assert lower(again, x[:1]) == graph and isinstance(grid_of(again.get_submodule("8")), BlockGrid)
    assert torch.equal(model.eval()(x), model(x)) and model.training is False
    double = recipe.apply(net().double(), x.double())
    assert equal(double, lower(double, x[:1]), x) == 0
