"""In evaluation mode the network that a user trains computes what its hardware computes, and every check sees it."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.random_networks import RandomNetwork
from torch import Tensor, nn

from intaglio.ir.errors import IntaglioError, StructureError
from intaglio.ir.graph import Graph
from intaglio.ir.ops import Conv2d, Requantize
from intaglio.methods import FixedPoint, MixedPrecision, Pact, Prune, Recipe
from intaglio.models import MODELS
from intaglio.train import evaluate, fit
from intaglio.twin import exact, freeze
from intaglio.twin.flat import module_of
from intaglio.twin.freezing import freezing
from intaglio.twin.lower import equal, lower
from intaglio.twin.network import Network
from intaglio.twin.quantizers import ActivationQuantizer
from intaglio.twin.stack import set_weight


class Shared(nn.Module):
    """A layer with a bias that is called twice, behind sums of different size; a shortcut; a norm that stands alone."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again = nn.Linear(6, 8), nn.Linear(8, 8)
        self.norm, self.last = nn.BatchNorm1d(8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        x = F.relu(self.again(self.again(x)) + x)
        return F.log_softmax(self.last(F.relu(self.norm(x))), 1)


def with_statistics(model: nn.Module, seed: int = 0) -> nn.Module:
    """Batch norms as they are after a training, of gains of both signs."""
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            with torch.no_grad():
                module.weight.copy_(torch.randn_like(module.weight))
                module.bias.copy_(torch.randn_like(module.bias) * 0.3)
                module.running_mean.copy_(torch.randn_like(module.running_mean) * 0.2)
                module.running_var.copy_(torch.rand_like(module.running_var) + 0.3)
    return model.eval()


def reals(graph: Graph, x: Tensor) -> Tensor:
    """The Graph's outputs as real numbers, (N, values)."""
    kind, out = graph.input_types[0], graph.output_types[0]
    result = out.dequantize(graph(kind.quantize(x.double().numpy().reshape(-1, *kind.shape)))[0])
    return torch.from_numpy(np.asarray(result, np.float64).reshape(len(x), -1))


def doubled(model: nn.Module, x: Tensor) -> Tensor:
    """The evaluated network in float64, (N, values)."""
    with torch.no_grad():
        return copy.deepcopy(model).double().eval()(x.double()).reshape(len(x), -1)


def residual(bits: int = 4, **knobs: object) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(1)
    x = torch.rand(48, 1, 12, 12)
    method = FixedPoint(weight_bits=bits, activation_bits=bits, **knobs)
    return Recipe(method).apply(with_statistics(MODELS["residual"](width=4)), x), x


@pytest.mark.parametrize("seed", range(24))
def test_random_networks_of_all_formats_evaluate_as_their_graphs(seed: int) -> None:
    random = RandomNetwork(seed)
    x = random.samples(24)
    try:
        small = random.recipe().apply(random, x).eval()
        graph = lower(small, x[:1])
    except IntaglioError as error:
        pytest.skip(str(error))
    assert torch.equal(doubled(small, x), reals(graph, x))
    with torch.no_grad():
        single = small(x)
    differ = (single.double().reshape(len(x), -1) != doubled(small, x).float().double()).any(1).double().mean()
    assert differ <= 0.05


@pytest.mark.parametrize("bits", [2, 4, 8, 12])
@pytest.mark.parametrize("scale", ["power_of_two", "dyadic"])
def test_a_residual_network_evaluates_as_its_graph_before_and_after_training(bits: int, scale: str) -> None:
    small, x = residual(bits, weight_scale=scale, activation_scale=scale, per_channel=True)
    for trained in (False, True):
        assert torch.equal(doubled(small, x), reals(lower(small, x[:1]), x)), trained
        with torch.no_grad():
            assert torch.equal(small.eval()(x).double(), doubled(small, x).float().double()), trained
        optimizer = torch.optim.Adam(small.parameters(), lr=1e-2)
        small.train()
        for _ in range(3):
            optimizer.zero_grad()
            small(x).square().mean().backward()
            optimizer.step()


def test_a_softmax_at_the_end_stays_with_the_network() -> None:
    torch.manual_seed(0)
    x = torch.rand(40, 6)
    small = Recipe(FixedPoint(weight_bits=6, activation_bits=6)).apply(with_statistics(Shared()), x).eval()
    graph = lower(small, x[:1])
    assert equal(small, graph, x) == 0
    assert torch.allclose(doubled(small, x), F.log_softmax(reals(graph, x), 1), atol=1e-12)


def planted(name: str) -> Callable[[exact.ExactLayer], nn.Module]:
    """`Layer.frozen` with one fault."""
    right = exact.ExactLayer.frozen

    def wrong(self: exact.ExactLayer, *given: object) -> nn.Module:
        made = right(self, *given)  # type: ignore[arg-type]
        if name == "bias" and made.bias is not None:
            made.bias.data.neg_()
        elif name == "scale":
            set_weight(made, np.rint(made.weight.numpy() / float(made.integer_scale[0])).astype(np.int64),
                       tuple(scale * 2 for scale in made.integer_scale[:1]))  # fmt: skip
        elif name == "weight":
            made.weight.data.view(-1)[0] += float(made.integer_scale[0])
        return made

    return wrong


@pytest.mark.parametrize("fault", ["bias", "scale", "weight"])
def test_the_checks_see_a_fault_in_freezing(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lowering refuses constants that are not the network's; without that, the comparison of outputs sees them."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    x = torch.rand(64, 4)
    small = Recipe(FixedPoint()).apply(model, x).eval()
    assert equal(small, lower(small, x[:1]), x) == 0
    monkeypatch.setattr(exact.ExactLayer, "frozen", planted(fault))
    with pytest.raises(StructureError, match="0: freezing changed"):
        lower(small, x[:1])
    if fault != "weight":
        monkeypatch.setattr(freeze, "_require_same", lambda *given: None)
        assert equal(small, lower(small, x[:1]), x) > 0


def test_freezing_measures_what_it_changes() -> None:
    def network(**knobs: object) -> nn.Module:
        torch.manual_seed(0)
        model = with_statistics(nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6)))
        return Recipe(FixedPoint(**knobs)).apply(model, x)

    x = torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
    small = network()
    fine, coarse = freezing(small, x), freezing(network(norm_mantissa=2), x)
    gm = copy.deepcopy(small).double().eval()
    with torch.no_grad():
        written, frozen = gm.plain(x.double()), gm(x.double())
    assert fine.deviation == pytest.approx(float(100 * (written - frozen).abs().max() / written.abs().max()))
    assert fine.class_changes == int((written.argmax(1) != frozen.argmax(1)).sum())
    assert 0 < fine.deviation < 1 < coarse.deviation and coarse.class_changes > 5 > fine.class_changes
    assert fine.samples == 500


def test_merged_norms_keep_as_many_bits_as_weights_unless_told_otherwise() -> None:
    def mantissas(small: nn.Module) -> int:
        graph = lower(small, torch.rand(1, 1, 12, 12), optimised=False)
        scales = [s for node in graph.nodes if isinstance(node.op, Conv2d) for s in node.op.scale]
        return max(scale.numerator.bit_length() for scale in scales)

    assert mantissas(residual(6)[0]) == 8 and mantissas(residual(11)[0]) == 11
    assert mantissas(residual(6, norm_mantissa=5)[0]) == 5 and mantissas(residual(11, norm_mantissa=9)[0]) == 9


def test_checkpoints_of_the_layers_as_written_still_load() -> None:
    """No name is added, and what is merged follows statistics that a checkpoint changes after calibration."""
    small, x = residual(4, per_channel=True)
    quantisers = [name for name, module in small.named_modules() if isinstance(module, ActivationQuantizer)]
    written = set(MODELS["residual"](width=4).state_dict())
    for key in small.state_dict():
        plain = key.replace("parametrizations.weight.original", "weight")
        scale = key.endswith("parametrizations.weight.0.log2_scale") or key.rpartition(".")[0] in quantisers
        assert plain in written or scale, key
    before = doubled(small, x)
    state = {k: v * 1.5 if k.endswith("running_var") else v for k, v in small.state_dict().items()}
    small.load_state_dict(state)
    assert not torch.equal(doubled(small, x), before)
    assert torch.equal(doubled(small, x), reals(lower(small, x[:1]), x))


def test_units_do_not_matter() -> None:
    """The same function in other units: a hidden layer times a factor, the next by it."""
    torch.manual_seed(0)
    x = torch.rand(300, 8)
    outputs = []
    for factor in (1.0, 2.0**-22, 2.0**20):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 5))
        with torch.no_grad():
            model[0].weight *= factor
            model[0].bias *= factor
            model[2].weight /= factor
        small = Recipe(FixedPoint(weight_bits=8, activation_bits=8)).apply(model.eval(), x)
        outputs.append(reals(lower(small, x[:1]), x))
        with torch.no_grad():
            assert (outputs[-1] - model(x)).abs().max() < 0.05
    assert torch.equal(outputs[0], outputs[1]) and torch.equal(outputs[0], outputs[2])


@pytest.mark.parametrize("input_bits", [1, 2, 8])
def test_biases_of_the_last_layer_decide_the_class(input_bits: int) -> None:
    """Sums on a coarse grid tie often; the class is that of the float layers on the inputs as quantised."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 4))
    with torch.no_grad():
        model[0].weight.copy_(torch.randint(-1, 2, (4, 6)) * 0.5)
        model[0].bias.copy_(torch.tensor([0.21, 0.19, -0.2, 0.2]))
    x = torch.rand(400, 6)
    small = Recipe(FixedPoint(weight_bits=8, input_bits=input_bits)).apply(model.eval(), x)
    graph = lower(small, x[:1])
    kind = graph.input_types[0]
    seen = torch.from_numpy(kind.dequantize(kind.quantize(x.double().numpy())))
    with torch.no_grad():
        wanted = model.double()(seen)
    assert torch.equal(wanted.argmax(1), reals(graph, x).argmax(1))
    assert (wanted - reals(graph, x)).abs().max() < 0.01


def test_fine_grids_cost_nothing_where_sums_are_fine() -> None:
    """The outputs of an 8-bit layer stay on the unit of its sums; a quantised bias inside is part of one Requantize."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(200, 8), nn.ReLU(), nn.Linear(8, 5))
    x = torch.rand(32, 200)
    graph = lower(Recipe(FixedPoint()).apply(model, x), x[:1])
    assert [type(node.op).__name__ for node in graph.nodes] == ["Input", "MatMul", "Requantize", "MatMul", "Requantize"]
    last = graph.nodes[-1].op
    assert isinstance(last, Requantize) and graph.output_types[0].scale == graph.nodes[-2].type.scale


def test_until_all_is_quantised_the_layers_run_as_written() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)).eval()
    x = torch.rand(32, 6)
    part = FixedPoint(select="0").apply(copy.deepcopy(model), x).eval()
    assert isinstance(part, Network)
    with torch.no_grad():
        assert torch.equal(part(x), part.plain(x))
    whole = FixedPoint(weight_bits=3, activation_bits=8).apply(copy.deepcopy(model), x).eval()
    seen: list[Tensor] = []
    quantizer = next(m for m in whole.modules() if isinstance(m, ActivationQuantizer) and m.low == 0 and m.high == 255)
    with torch.no_grad():
        assert not torch.equal(whole(x), whole.plain(x))
        quantizer.observer = seen.append
        assert torch.equal(whole(x), whole.plain(x)) and seen
    training = whole.train()(x)
    assert torch.equal(training, whole.plain(x)) and training.requires_grad


def test_layers_without_weights_may_be_called_twice() -> None:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.last = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 3)
            self.pool, self.whole, self.act = nn.AvgPool2d(3), nn.AdaptiveAvgPool2d(1), nn.ReLU6(inplace=True)

        def forward(self, x: Tensor) -> Tensor:
            x = self.pool(self.act(self.a(x)))
            return self.last((self.whole(x) + self.whole(self.pool(self.act(self.b(x))))).flatten(1))

    torch.manual_seed(0)
    x = torch.rand(20, 1, 9, 9)
    small = Recipe(FixedPoint()).apply(Pooled(), x)
    assert torch.equal(doubled(small, x), reals(lower(small, x[:1]), x))


def test_channels_that_a_norm_nearly_ignores_are_its_offset() -> None:
    """Weight decay drives factors to nearly nothing; they need no wider words, merged or alone."""
    for model in (nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)),
                  nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.BatchNorm1d(8), nn.Linear(8, 3))):  # fmt: skip
        x = torch.rand(30, 6)
        norm = next(module for module in with_statistics(model).modules() if isinstance(module, nn.BatchNorm1d))
        with torch.no_grad():
            norm.weight[:4] = torch.tensor([0.0, -1e-9, 1e-20, 1e-38])
        small = Recipe(FixedPoint(weight_bits=12, activation_bits=12, input_bits=12)).apply(model, x)
        assert torch.equal(doubled(small, x), reals(lower(small, x[:1]), x))
        with torch.no_grad():
            assert (doubled(small, x) - model.double()(x.double())).abs().max() < 0.01


@pytest.mark.parametrize("recipe", [
    FixedPoint(weight_bits=3, activation_bits=3), FixedPoint(weight_scale="dyadic", activation_scale="dyadic"),
    FixedPoint(weight_scale="dyadic", activation_scale="dyadic", per_channel=True),
], ids=["coarse", "dyadic", "channels"])  # fmt: skip
def test_constants_lie_on_a_grid_whatever_the_format(recipe: FixedPoint) -> None:
    """A border inside, and clips whose results leave the network or are read twice."""

    class Clipped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 3, 3, bias=False), nn.Conv2d(3, 3, 3, bias=False)
            self.pad, self.clip, self.six = nn.ConstantPad2d(1, 0.3), nn.Hardtanh(-0.3, 0.7), nn.ReLU6()

        def forward(self, x: Tensor) -> Tensor:
            x = self.clip(self.a(x))
            return self.six(self.clip(self.b(self.pad(x)) + x)).flatten(1)

    torch.manual_seed(0)
    x = torch.rand(40, 1, 8, 8)
    small = Recipe(recipe).apply(Clipped(), x)
    assert torch.equal(doubled(small, x), reals(lower(small, x[:1]), x))
    model = Clipped().eval()
    fine = Recipe(FixedPoint(weight_bits=14, activation_bits=14, input_bits=14)).apply(model, x)
    with torch.no_grad():
        assert (doubled(fine, x) - model.double()(x.double())).abs().max() < 0.002


def test_large_inputs_need_no_wide_words() -> None:
    torch.manual_seed(0)
    x = torch.rand(40, 4) * 2.0**60
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    small = Recipe(FixedPoint()).apply(model, x)
    assert torch.equal(doubled(small, x), reals(lower(small, x[:1]), x))


@pytest.mark.parametrize("missing", ["weight", "bias", "affine"])
def test_norms_apply_the_parameters_that_they_have(missing: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(60, 4)
    model = with_statistics(nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)))
    setattr(model[1], missing, False if missing == "affine" else None)
    small = Recipe(FixedPoint(weight_bits=12, activation_bits=12, input_bits=12)).apply(model, x)
    with torch.no_grad():
        assert (doubled(small, x) - model.double()(x.double())).abs().max() < 0.01


def test_a_bias_may_be_a_buffer() -> None:
    torch.manual_seed(0)
    x = torch.randn(40, 4)
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    bias = model[2]._parameters.pop("bias")
    model[2].register_buffer("bias", bias.detach() + 3)
    small = Recipe(FixedPoint()).apply(model, x)
    assert torch.equal(doubled(small, x), reals(lower(small, x[:1]), x)) and float(doubled(small, x).mean()) > 1
    assert equal(small, lower(small, x[:1]), x) == 0


def test_the_form_follows_the_levels_of_its_quantisers() -> None:
    """At few levels batch norm becomes thresholds; a network that was evaluated before computes with them, too."""
    small, x = residual(8)
    small = small.double().eval()
    with torch.no_grad():
        small(x.double())
        for module in small.modules():
            if isinstance(module, ActivationQuantizer) and module.high == 255:
                module.set_range(0, 7)
                module.log2_scale += 5
        found = small(x.double()).reshape(len(x), -1)
    assert torch.equal(found, reals(lower(small, x[:1]), x))


def test_copies_are_networks_of_the_same_name() -> None:
    small, x = residual(4)
    for made in (copy.copy(small), copy.deepcopy(small)):
        assert isinstance(made, Network) and type(made).__name__ == type(small).__name__ == "Residual"
        with torch.no_grad():
            assert torch.equal(made.eval()(x), small.eval()(x))


def test_settled_training_sees_the_hardware_and_leaves_statistics() -> None:
    small, x = residual(8)
    y = torch.arange(len(x)) % 10
    small.train()
    small.settled = True
    assert copy.deepcopy(small).settled
    before = {name: value.clone() for name, value in small.named_buffers() if "running" in name}
    F.cross_entropy(small(x), y).backward()
    small.eval()
    assert torch.equal(small.train()(x).detach(), small.eval()(x).detach())
    assert all(torch.equal(value, before[name]) for name, value in small.named_buffers() if "running" in name)
    found = {name: p.grad.clone() for name, p in small.named_parameters() if p.grad is not None}
    for parameter in small.parameters():
        parameter.grad = None
    F.cross_entropy(small.plain(x), y).backward()  # the layers as written, in evaluation: nearly the same function
    for name, parameter in small.named_parameters():
        if parameter.grad is not None and "log2_scale" not in name:
            angle = F.cosine_similarity(parameter.grad.flatten(), found[name].flatten(), dim=0)
            assert angle > 0.95 or parameter.grad.norm() < 1e-3, name


@pytest.mark.parametrize("recipe", [
    Recipe(FixedPoint(weight_bits=4, activation_bits=4)), Recipe(Prune(sparsity=0.5), MixedPrecision(average_bits=3.0)),
    Recipe(FixedPoint(), Pact(bits=3)),
], ids=["fixed", "pruned", "pact"])  # fmt: skip
def test_the_accuracy_that_training_reports_is_the_hardware_s(recipe: Recipe) -> None:
    class Toy:
        class train:
            x = torch.rand(96, 1, 12, 12, generator=torch.Generator().manual_seed(0))
            y = (x.mean((1, 2, 3)) > 0.5).long()

        val = train

    small = recipe.apply(with_statistics(MODELS["residual"](width=4)), Toy.train.x)
    history = fit(small, Toy, 3, 5e-3, batch=32, methods=recipe.methods, settle=0.4)
    graph = lower(small, Toy.train.x[:1])
    carved = 100 * float((reals(graph, Toy.train.x).argmax(1) == Toy.train.y).double().mean())
    assert history[-1]["top1"] == evaluate(small, Toy.train.x, Toy.train.y) == carved
    assert not small.settled and module_of(small, next(n for n in small.graph.nodes if n.op == "call_module"))
