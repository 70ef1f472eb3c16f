"""Tracing changes no network: the flat form gives what eager execution gives in float64, or the network is refused."""

import copy
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

import intaglio as ig
from intaglio.ir.errors import IntaglioError, UnsupportedLayer
from intaglio.twin.capture import capture
from intaglio.twin.trace import trace
from tests.support.eager import COUNT, carried, same, samples

Forward = Callable[..., Tensor]


class Net(nn.Module):
    """Layers a and b (6 -> 6), and a forward pass to be tried."""

    def __init__(self, forward: Forward) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.act = nn.Linear(6, 6), nn.Linear(6, 6), nn.ReLU(inplace=True)
        self.calculate = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.calculate(self, x)


def relu_module(n: Net, x: Tensor) -> Tensor:
    x = n.a(x)
    return x + n.b(n.act(x))


def relu_function(n: Net, x: Tensor) -> Tensor:
    x = n.a(x)
    return x + n.b(F.relu(x, inplace=True))


def relu_by_place(n: Net, x: Tensor) -> Tensor:
    x = n.a(x)
    return x + n.b(F.relu(x, True))


def relu_method(n: Net, x: Tensor) -> Tensor:
    x = n.a(x)
    y = n.b(x.relu_())
    return x + y


def relu_torch(n: Net, x: Tensor) -> Tensor:
    x = n.a(x)
    torch.relu_(x)
    return n.b(x)


def plus_equals(n: Net, x: Tensor) -> Tensor:
    x = y = n.a(x)
    y += n.b(x)
    return x + F.relu(y)


def add_method(n: Net, x: Tensor) -> Tensor:
    x = n.a(x)
    y = n.b(x)
    x.add_(y)
    return torch.cat([x, y], 1)


def twice(n: Net, x: Tensor) -> Tensor:
    x = n.a(x)
    y = x
    x.relu_()
    x += n.b(y)
    return x + y


def of_the_input(n: Net, x: Tensor) -> Tensor:
    y = n.a(x)
    x.relu_()
    return y + n.b(x)


def through_detach(n: Net, x: Tensor) -> Tensor:
    x = n.a(x)
    x.detach().relu_()
    return n.b(x)


def view_alone(n: Net, x: Tensor) -> Tensor:
    return n.b(n.a(x).view(-1, 2, 3).relu_().flatten(1))


def sizes_that_grow(n: Net, x: Tensor) -> Tensor:
    x = n.a(x)
    count = x.size(1)
    half = count
    half //= 2
    return n.b(x.view(x.size(0), 2, half).relu().reshape(-1, count))


def keyword(n: Net, x: Tensor) -> Tensor:
    return n.b(input=F.relu(input=n.a(input=x)))


def identities(n: Net, x: Tensor) -> Tensor:
    x = n.a(x.contiguous()).clone().detach().to(torch.float64).double()
    return n.b(torch.clone(x).relu())


def shared(n: Net, x: Tensor) -> Tensor:
    return n.a(F.relu(n.b(F.relu(n.a(x)))))


def dropped(n: Net, x: Tensor) -> Tensor:
    x = n.a(x)
    F.dropout(x, 0.5, n.training).relu_()
    return n.b(x)


def transposed_views(n: Net, x: Tensor) -> Tensor:
    x = n.a(x).view(-1, 2, 3).transpose(1, 2).contiguous()
    return n.b(x.view(x.size(0), -1))


EXACT = [
    relu_module, relu_function, relu_by_place, relu_method, relu_torch, plus_equals, add_method, twice, of_the_input,
    through_detach, view_alone, sizes_that_grow, keyword, identities, shared, dropped, transposed_views,
]  # fmt: skip


@pytest.mark.parametrize("forward", EXACT, ids=lambda f: f.__name__)
def test_same_as_eager(forward: Forward):
    same(Net(forward), samples(6))


def view_read_again(n: Net, x: Tensor) -> Tensor:
    x = n.a(x)
    x.view(-1, 2, 3).relu_()
    return n.b(x)


def base_changed(n: Net, x: Tensor) -> Tensor:
    x = n.a(x)
    part = x[:, :3]
    x.relu_()
    return torch.cat([part, x], 1)


def out(n: Net, x: Tensor) -> Tensor:
    x = n.a(x)
    torch.add(x, n.b(x), out=x)
    return x


def assigned(n: Net, x: Tensor) -> Tensor:
    x = n.a(x)
    x[:, 0] = 0
    return x


def counted(n: Net, x: Tensor) -> Tensor:
    return n.b(x).view(COUNT, -1)


def branch(n: Net, x: Tensor) -> Tensor:
    return n.a(x) if x.sum() > 0 else n.b(x)


def length(n: Net, x: Tensor) -> Tensor:
    return n.a(x).view(len(x), -1)


@pytest.mark.parametrize(("forward", "words"), [
    (view_read_again, "another view of the same memory"), (base_changed, "another view of the same memory"),
    (out, "out="), (assigned, "torch.cat or torch.where"), (counted, "fixes the batch size to 7"),
    (branch, r"test_trace.py:\d+ `return n.a\(x\) if"), (length, r"test_trace.py:\d+ `return n.a\(x\).view\(len"),
], ids=lambda item: getattr(item, "__name__", ""))  # fmt: skip
def test_refused(forward: Forward, words: str):
    with pytest.raises(UnsupportedLayer, match=words) as said:
        ig.Recipe(ig.FixedPoint()).apply(Net(forward), samples(6))
    assert not re.search(r"getitem|view_\d|\bchanges view\b", str(said.value))


class Random(nn.Module):
    """Images of 4 channels through random steps, many in place, on aliases of earlier results."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        torch.manual_seed(seed)
        self.convs = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        random = np.random.default_rng(self.seed)
        wires = [self.convs[0](x)]
        for _ in range(7):
            a, b = (wires[int(random.integers(len(wires)))] for _ in range(2))
            wires.append(self.step(int(random.integers(9)), a, b, int(random.integers(3))))
        return torch.cat([wire.reshape(wire.size(0), -1) for wire in wires], 1)

    def step(self, kind: int, a: Tensor, b: Tensor, number: int) -> Tensor:
        """One operation."""
        if kind == 0:
            a += b
            return a
        steps: list[Callable[[], Tensor]] = [
            lambda: self.act(a), lambda: F.relu(a, inplace=True), lambda: a.relu_(), lambda: a.add_(b), lambda: a + b,
            lambda: self.convs[number](a), lambda: nn.Identity()(a), lambda: nn.ReLU(inplace=True)(a),
        ]  # fmt: skip
        return steps[kind - 1]()


@pytest.mark.parametrize("seed", range(40))
def test_random_in_place_operations(seed: int):
    """Against eager execution, and against torch.export's functionalised graph."""
    model, x = Random(seed).double().eval(), samples(4, 5, 5).double()
    same(model, x)
    oracle = torch.export.export(copy.deepcopy(model), (x.clone(),)).run_decompositions({})
    with torch.no_grad():
        expected, found = oracle.module()(x.clone()), trace(copy.deepcopy(model))(x.clone())
    assert float((expected - found).abs().max()) <= 1e-9 * float(expected.abs().max())


class Doubled(nn.Linear):
    """A layer with a forward pass of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 2


class Named(nn.Linear):
    """A layer with a name of its own."""

    def extra_repr(self) -> str:
        return "named"


class Halved(nn.Conv2d):
    """A layer that changes a part of what its forward pass uses."""

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(x, weight / 2, bias)


def test_subclasses_of_layers_are_what_they_compute():
    for layer, shape in ((Doubled(6, 3), (6,)), (Named(6, 3), (6,)), (Halved(3, 3, 1), (3, 4, 4))):
        same(nn.Sequential(layer), samples(*shape))
    patched = nn.Linear(6, 3)
    patched.forward = lambda x: F.linear(x, patched.weight) * 3  # type: ignore[method-assign]
    ig.Recipe(ig.FixedPoint()).apply(nn.Sequential(Named(6, 3)), samples(6))
    inner = nn.Linear(6, 3)
    inner.__dict__["extra_repr"] = lambda: "harmless"
    ig.Recipe(ig.FixedPoint()).apply(nn.Sequential(inner), samples(6))
    convolution = nn.Conv2d(3, 3, 1)
    original = convolution._conv_forward
    convolution._conv_forward = lambda x, w, b: original(x, w * 1.001, b)  # type: ignore[method-assign]
    with pytest.raises(UnsupportedLayer, match=r"torch\.conv2d"):
        ig.check(nn.Sequential(convolution), samples(3, 4, 4))
    for layer in (Doubled(6, 3), patched):
        with pytest.raises(IntaglioError):
            ig.Recipe(ig.FixedPoint()).apply(nn.Sequential(nn.Linear(6, 6), layer), samples(6))


def plain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("kind", ["weight_norm", "spectral_norm"])
def test_computed_weights_are_written_down(kind: str, old: bool):
    model = plain()
    getattr(nn.utils if old else parametrizations, kind)(model[0])
    model(samples(6)).sum().backward()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    carried(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert parametrize.is_parametrized(model[0]) != old and ("0.weight_v" in before or "0.weight_orig" in before) == old


def test_pruning_in_progress_is_refused_with_its_end():
    model = plain()
    prune.l1_unstructured(model[2], "weight", 0.5)
    with pytest.raises(UnsupportedLayer, match=r"2: .*prune.remove\(layer, 'weight'\).*sparsity=0.5"):
        ig.Recipe(ig.FixedPoint()).apply(model, samples(6))
    prune.remove(model[2], "weight")
    carried(model)


def test_hooks_are_refused():
    for register in ("register_forward_hook", "register_forward_pre_hook"):
        for place in (lambda m: m, lambda m: m[0], lambda m: m[1]):
            model = plain()
            handle = getattr(place(model), register)(lambda *args: None)
            with pytest.raises(UnsupportedLayer, match="hook"):
                ig.check(model, samples(6))
            handle.remove()
            ig.check(model, samples(6))
    handle = nn.modules.module.register_module_forward_hook(lambda *args: None)
    try:
        with pytest.raises(UnsupportedLayer, match="hook"):
            ig.check(plain(), samples(6))
    finally:
        handle.remove()


def test_hooks_on_an_approximated_network_are_refused():
    x = samples(6)
    small = ig.Recipe(ig.FixedPoint()).apply(plain(), x)
    for name in ("", "0", "1"):
        handle = small.get_submodule(name).register_forward_hook(lambda module, given, result: result * 2)
        with pytest.raises(UnsupportedLayer, match="hook"):
            ig.lower(small, x[:1])
        handle.remove()
    ig.lower(small, x[:1])


def test_wrappers_are_taken_off():
    carried(nn.DataParallel(plain()))
    carried(nn.Sequential(nn.DataParallel(plain()[:2]), plain()[2]))
    compiled = torch.compile(plain())
    small = ig.Recipe(ig.FixedPoint()).apply(compiled, samples(6))
    assert {name for name, _ in small.named_children()} >= {"0", "1", "2"}
    parts = nn.Sequential(torch.compile(plain()), nn.Linear(3, 2))
    assert "0.2" in dict(ig.Recipe(ig.FixedPoint()).apply(parts, samples(6)).named_modules())


def test_approximated_networks_are_unwrapped_or_refused_with_their_name():
    x = samples(6)
    small = ig.Recipe(ig.FixedPoint()).apply(plain(), x)
    graph = ig.lower(small, x[:1])
    for wrapper in (nn.DataParallel(small), torch.compile(small)):
        assert ig.lower(wrapper, x[:1]) == graph and ig.equal(wrapper, graph, x) == 0
        ig.check(wrapper, x[:1])
        again = ig.Recipe(ig.FixedPoint(weight_bits=4)).apply(wrapper, x)
        assert ig.lower(again, x[:1]) != graph
    recipe = ig.Recipe(ig.FixedPoint())
    for action in (lambda m: ig.lower(m, x[:1]), lambda m: ig.check(m, x[:1]), lambda m: recipe.apply(m, x)):
        with pytest.raises(UnsupportedLayer, match=r"^1: is an approximated network.*get_submodule\('1'\)"):
            action(nn.Sequential(nn.ReLU(), small))


def test_recorded_networks_are_refused_with_the_way_back():
    x = samples(6)
    exported = torch.export.export(plain().eval(), (x,))
    for model in (exported, exported.module(), torch.jit.script(plain()), torch.jit.trace(plain(), x),
                  nn.Sequential(torch.jit.script(plain()))):  # fmt: skip
        with pytest.raises(UnsupportedLayer, match="state_dict"):
            ig.Recipe(ig.FixedPoint()).apply(model, x)


def test_weights_that_are_not_there():
    with pytest.raises(UnsupportedLayer, match="call the network once with data"):
        ig.check(nn.Sequential(nn.LazyLinear(3)), samples(6))
    with pytest.raises(UnsupportedLayer, match="load its weights"):
        ig.check(plain().to("meta"), samples(6))


def test_a_bare_layer():
    carried(nn.Linear(6, 3))
    small = ig.Recipe(ig.FixedPoint(select="layer")).apply(nn.Linear(6, 3), samples(6))
    assert small.get_submodule("layer") is not None


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(kind: torch.dtype):
    model = plain().to(kind)
    recipe = ig.Recipe(ig.FixedPoint(weight_bits=12, activation_bits=12, input_bits=12))
    small = recipe.apply(model, samples(6).to(kind))
    assert small.get_submodule("0").weight.dtype is (torch.float64 if kind is torch.float64 else torch.float32)
    graph, x = ig.lower(small, samples(6)[:1]), samples(6).to(kind)
    found = graph.output_types[0].dequantize(graph(graph.input_types[0].quantize(x.double().numpy()))[0])
    with torch.no_grad():
        real = plain().to(kind).double()(x.double()).numpy()
    assert np.linalg.norm(found - real) < 0.01 * np.linalg.norm(real)


def test_tied_weights_stay_tied():
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3))
    model[2].weight = model[0].weight
    x = samples(6)
    small = ig.Recipe(ig.Prune(sparsity=0.5), ig.FixedPoint(weight_bits=6)).apply(model, x)
    first, third = (small.get_submodule(name).parametrizations["weight"].original for name in ("0", "2"))
    assert first is third
    assert ig.equal(small, ig.lower(small, x[:1]), x) == 0
    carried(model)


class Optional(Net):
    """Takes more arguments, with defaults."""

    def forward(self, x: Tensor, scale: Tensor | None = None, deep: bool = True) -> Tensor:
        x = F.relu(self.a(x)) if deep else self.a(x)
        return self.b(x) if scale is None else x * scale


def test_defaults_are_not_inputs():
    same(Optional(lambda n, x: x), samples(6))
    carried(Optional(lambda n, x: x))


def test_two_inputs_are_named():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 2), nn.Linear(3, 2)

        def forward(self, left: Tensor, right: Tensor, deep: bool = True) -> Tensor:
            return self.a(left) + self.b(right) if deep else left

    pair = (torch.rand(8, 4), torch.rand(8, 3))
    small = ig.Recipe(ig.FixedPoint()).apply(Two(), pair)
    assert [node.name for node in ig.lower(small, pair).nodes][:2] == ["left", "right"]
    assert [str(n.target) for n in trace(Two()).graph.nodes if n.op == "placeholder"] == ["left", "right"]


NAMES = ['r");fault();("', "a\nb", "naïve", "a b", "graph", "code", "meta", "conv-1", "class", "\\", "{x}",
         "plain", "form", "settled", "self"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_are_no_code(name: str, monkeypatch: pytest.MonkeyPatch):
    import builtins

    ran: list[int] = []
    monkeypatch.setattr(builtins, "fault", lambda: ran.append(1), raising=False)
    model = nn.Sequential()
    model.add_module(name, nn.Linear(6, 3))
    model.add_module("last", nn.ReLU())
    same(copy.deepcopy(model), samples(6))
    small = ig.Recipe(ig.FixedPoint()).apply(model, samples(6))
    ig.Graph.parse(ig.lower(small, samples(6)[:1]).text())
    assert not ran
    assert all(re.fullmatch(r"[\w.-]*", key) for key, _ in small.named_modules())


def test_flags_of_training_stay():
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)).train()
    model[1].eval()
    small = ig.Recipe(ig.FixedPoint()).apply(model, samples(6))
    assert small.training and small.get_submodule("0").training and not small.get_submodule("1").training
    assert model[0].training and not model[1].training


def test_what_is_no_fixed_function():
    class Alternating(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.calls = nn.Linear(6, 3), nn.Linear(6, 3), 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return self.a(x) if self.calls % 2 else self.b(x)

    with pytest.raises(UnsupportedLayer, match="called again"):
        ig.check(Alternating(), samples(6))


def test_a_wrong_trace_is_refused(monkeypatch: pytest.MonkeyPatch):
    """A planted fault: an in-place rectifier whose old tensor is read again, taken for one that is not."""
    monkeypatch.setattr("intaglio.twin.in_place._redirect", lambda *given: None)
    for forward in (relu_module, relu_method):
        with pytest.raises(UnsupportedLayer, match="differs here"):
            capture(Net(forward), samples(6))
