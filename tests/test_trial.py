"""`check` refuses early, in words that help, whatever stands in a network; what it accepts is lowered and carved."""

import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import intaglio as ig
from intaglio.ir.errors import IntaglioError, UnsupportedLayer
from intaglio.trial import check

FORBIDDEN = re.compile(r"0x[0-9a-f]{6}|built-in|<function|<class|getitem|Proxy|call_module|\b\w+_\d+\b:")
RECIPE = ig.Recipe(ig.FixedPoint(per_channel=True))
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "AdaptiveLogSoftmaxWithLoss": (8, 6, [2]), "Bilinear": (8, 8, 4), "ChannelShuffle": (2,), "ConstantPad1d": (1, 0.0),
    "ConstantPad2d": (1, 0.0), "ConstantPad3d": (1, 0.0), "CrossMapLRN2d": (2,), "Embedding": (5, 3),
    "EmbeddingBag": (5, 3), "Fold": ((4, 4), 2), "FractionalMaxPool2d": (2, (2, 2)),
    "FractionalMaxPool3d": (2, (2, 2, 2)), "GroupNorm": (2, 4), "LayerNorm": (6,), "Linear": (6, 3),
    "LSTM": (6, 4), "GRU": (6, 4), "RNN": (6, 4),
    "LazyLinear": (3,), "LocalResponseNorm": (2,), "LPPool1d": (2, 2), "LPPool2d": (2, 2), "LPPool3d": (2, 2),
    "MultiheadAttention": (6, 2), "PReLU": (), "PixelShuffle": (2,), "PixelUnshuffle": (2,), "RMSNorm": (6,),
    "RNNBase": ("LSTM", 6, 4), "RNNCellBase": (6, 4, True, 4), "Threshold": (0.1, 0.0), "Unflatten": (1, (2, 2)),
    "Transformer": (6, 2, 1, 1, 8), "TransformerEncoderLayer": (6, 2, 8), "TransformerDecoderLayer": (6, 2, 8),
    "Unfold": (2,), "Upsample": (None, 2), "UpsamplingNearest2d": (None, 2), "UpsamplingBilinear2d": (None, 2),
    "DataParallel": (nn.ReLU(),), "CosineSimilarity": (), "Softmax": (1,), "LogSoftmax": (1,), "Softmin": (1,),
}  # fmt: skip
SIZES = {"num_features": 4, "num_channels": 4, "in_channels": 4, "out_channels": 4, "kernel_size": 2, "padding": 1,
         "output_size": 1, "input_size": 6, "hidden_size": 4, "normalized_shape": 6, "upscale_factor": 2,
         "in_features": 6, "num_classes": 3, "out_features": 3}  # fmt: skip
KINDS = sorted(
    (kind for kind in vars(nn).values() if inspect.isclass(kind) and issubclass(kind, nn.Module)),
    key=lambda kind: kind.__name__,
)


class Uses(nn.Module):
    """A layer with weights, and another layer behind it that gets as many tensors as it takes."""

    def __init__(self, layer: nn.Module, inputs: int, front: nn.Module) -> None:
        super().__init__()
        self.front, self.layer, self.inputs = front, layer, inputs

    def forward(self, x: Tensor) -> Any:
        return self.layer(*[self.front(x)] * self.inputs)


def made(kind: type[nn.Module]) -> nn.Module:
    """A small layer of this class."""
    if kind.__name__ in ARGUMENTS:
        return kind(*ARGUMENTS[kind.__name__])
    if kind.__name__ in ("TransformerEncoder", "TransformerDecoder"):
        return kind(getattr(nn, kind.__name__ + "Layer")(6, 2, 8), 1)
    needed = [p for p in inspect.signature(kind.__init__).parameters.values() if p.default is p.empty]
    names = [p.name for p in needed if p.name != "self" and p.kind is p.POSITIONAL_OR_KEYWORD]
    return kind(*(SIZES[name] for name in names))


def tensors(kind: type[nn.Module]) -> int:
    """How many tensors the forward pass needs."""
    parameters = list(inspect.signature(kind.forward).parameters.values())[1:]
    return max(1, sum(p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters))


def tried(network: nn.Module, x: Tensor) -> str:
    """What `check` says; what it accepts is approximated, lowered and carved. Errors that are not ours fail."""
    try:
        check(network, x[:1])
    except IntaglioError as error:
        return str(error)
    small = RECIPE.apply(network, x)
    graph = ig.lower(small, x[:1])
    assert ig.equal(small, graph, x) == 0
    ig.carve(graph)
    return ""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_layer_of_torch_works_or_is_refused_in_words_that_help(kind: type[nn.Module]):
    torch.manual_seed(0)
    layer, count = made(kind), tensors(kind)
    said = []
    for shape, front in (((4, 6, 6), nn.Conv2d(4, 4, 1)), ((4, 6), nn.Conv1d(4, 4, 1)), ((6,), nn.Linear(6, 6)),
                         ((4, 3, 6, 6), nn.Identity())):  # fmt: skip
        network = Uses(layer, count, front).eval()
        said.append(tried(network, torch.rand(5, *shape)))
        assert not FORBIDDEN.search(said[-1]) and said[-1].count("\n") == 0, said[-1]
    helpful = [message for message in said if "; " in message and "test_trial.py:" in message]
    assert "" in said or helpful or "call the network once" in said[0], said


FORMS = (
    "x.mean((2, 3))", "x.sum()", "x.std(1)", "x.permute(0, 2, 3, 1)", "x.transpose(1, 2)", "x.chunk(2, 1)[0]",
    "x.split(2, 1)[1]", "torch.cat(x.chunk(2, 1), 1)", "x[:, 0]", "x[:, ::2]", "x[0]", "x[..., None]", "x.squeeze()",
    "x.unsqueeze(1)", "x * 2", "2 * x", "x - 1", "1 - x", "-x", "x / 3", "x // 2", "x % 2", "x ** 2", "x * x",
    "x / x", "x @ x", "x + 1", "x + torch.ones(1)", "sum([x, x, x])", "x.exp()", "torch.log1p(x)", "x.abs()", "x > 0",
    "x == x", "x.max(1)[0]", "x.max(1).values", "x.topk(2, 1).indices", "x.argmax()", "x.argmax(1)", "x.norm()",
    "x.flatten(1).argmax(1).float()", "x.flatten(2)", "x.view(-1, 4)", "x.reshape(x.size(0), 2, -1)",
    "x.view(x.size(0), 6, 6, 4)", "torch.where(x > 0, x, x)", "x.masked_fill(x > 0, 0)", "x.clamp(0, 1)", "x.float()",
    "x.detach()", "x.clone()", "x.repeat(1, 2, 1, 1)", "x.expand(-1, -1, -1, -1)", "torch.stack([x, x], 1)",
    "torch.cat([x, x], -1)", "torch.cat([x], 1)", "torch.cat([x, x, x], 1)", "F.pad(x, (1, 1))",
    "F.pad(x, (0, 1, 0, 1))", "F.pad(x, (1, 1, 1, 1), mode='reflect')", "F.pad(x, (1,) * 6)",
    "F.interpolate(x, scale_factor=2)", "F.max_pool2d(x, x.size(2))", "F.max_pool2d(x, 2, return_indices=True)[0]",
    "np.prod(x.shape) + x", "int(x.shape[1])", "torch.from_numpy(x.numpy())", "x.data.__setitem__(0, 1)",
    "F.unfold(x, 2)", "F.adaptive_max_pool2d(x, 1)", "F.adaptive_avg_pool1d(x.flatten(2), 1)", "F.dropout(x, 0.5)",
    "F.dropout(x, 0.5, False)", "F.softmax(x, 1).flatten(1)", "F.softmax(x, 1)", "x.softmax(-1)",
    "F.layer_norm(x, (6, 6))", "F.normalize(x)", "F.one_hot(x.long())", "torch.einsum('nchw->nc', x)",
    "torch.add(x, x, alpha=2)", "{'logits': x}", "(x, x)", "[x]", "None", "x.shape", "(x, (x, x))", "x.item()",
    "x.numpy()", "len(x)", "x if x.sum() > 0 else -x", "torch.ones(3)", "x.mean(1, keepdim=True) + x",
    "x + F.adaptive_avg_pool2d(x, 1)", "nn.functional.linear(x, torch.ones(3, 6))", "x.T", "x.mT", "x.real",
    "x.add_(1)",
)  # fmt: skip
WORK = ("sum([x, x, x])", "torch.cat([x], 1)",
        "torch.cat([x, x, x], 1)", "F.dropout(x, 0.5, False)", "F.softmax(x, 1)", "[x]")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", FORMS)
def test_every_operation_works_or_is_refused_in_words_that_help(form: str):
    torch.manual_seed(0)
    function = eval(f"lambda x: {form}", {"torch": torch, "F": F, "nn": nn, "np": np})

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.front = nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> Any:
            return function(self.front(x))

    said = tried(Network().eval(), torch.rand(5, 4, 6, 6))
    assert not FORBIDDEN.search(said) and said.count("\n") == 0, said
    assert said == "" or (form not in WORK and ": " in said and "; " in said), said


def test_a_functional_form_gets_the_remedy_of_its_layer():
    class Pooled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.avg_pool2d(x, 2, divisor_override=3)

    with pytest.raises(UnsupportedLayer, match=r"divisor_override.*`nn\.AvgPool2d\(2, 2\)`"):
        check(nn.Sequential(nn.Conv2d(3, 4, 1), Pooled()), torch.rand(1, 3, 6, 6))


class Classes(nn.Module):
    """A classifier that gives the class itself; without biases its logits have a scale per class."""

    def __init__(self, end: str, bias: bool = True) -> None:
        super().__init__()
        self.a, self.f = nn.Conv2d(1, 4, 3), nn.Linear(4 * 16, 5, bias=bias)
        nn.init.normal_(self.f.weight)
        self.f.weight.data[0] /= 8
        self.end = eval(f"lambda x: {end}", {"torch": torch, "F": F})

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.f(F.relu(self.a(x)).flatten(1)))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("end", [
    "x.argmax(1)", "torch.argmax(x, 1)", "torch.argmax(x, dim=-1)", "x.argmax(dim=1, keepdim=True)",
    "F.softmax(x, 1).argmax(1)", "x.log_softmax(dim=1).argmax(-1)",
])  # fmt: skip
def test_argmax_at_the_end(end: str, bias: bool):
    torch.manual_seed(0)
    network, x = Classes(end, bias).eval(), torch.randn(200, 1, 6, 6)
    check(network, x[:1])
    small = RECIPE.apply(network, x).eval()
    graph = ig.lower(small, x[:1])
    assert ig.equal(small, graph, x) == 0
    with torch.no_grad():
        classes = small(x)
        assert classes.dtype == torch.int64 and classes.shape == ((200, 1) if "keepdim" in end else (200,))
        assert (classes.reshape(-1) == network(x).reshape(-1)).float().mean() > 0.9
    (kind,) = graph.input_types
    found = graph(kind.quantize(x.double().numpy().reshape(-1, *kind.shape)))[0]
    assert np.array_equal(found.reshape(-1), classes.reshape(-1).numpy()) and len(set(found.reshape(-1).tolist())) > 1
    design = ig.carve(graph)
    assert design.streams[design.sinks[0]].wire.bits == 3


def test_argmax_in_simulation(tmp_path: Path):
    torch.manual_seed(0)
    network, x = Classes("x.argmax(1)").eval(), torch.randn(16, 1, 6, 6)
    graph = ig.lower(RECIPE.apply(network, x), x[:1])
    design = ig.carve(graph)
    images = graph.input_types[0].quantize(x.double().numpy())
    compared = ig.compare(design, ig.build(ig.emit(design, tmp_path)), images)
    assert compared.equal


def test_the_comparison_sees_another_class():
    torch.manual_seed(0)
    x = torch.randn(50, 1, 6, 6)
    small = RECIPE.apply(Classes("x.argmax(1)").eval(), x).eval()
    graph = ig.lower(small, x[:1])
    with torch.no_grad():
        small.get_submodule("f").bias[0] += 100.0
    assert ig.equal(small, graph, x) > 10


def test_a_refusal_names_the_line_of_the_forward_pass():
    class Sliced(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.a(x)[:, :2]

    line = inspect.getsourcelines(Sliced.forward)[1] + 1
    words = rf"^x\[\.\.\.\], .*test_trial\.py:{line} `return self\.a\(x\)\[:, :2\]`: has no integer form; "
    with pytest.raises(UnsupportedLayer, match=words):
        check(Sliced(), torch.rand(1, 4))
    with pytest.raises(UnsupportedLayer, match=r"^1 \(GELU\): has no integer form"):
        check(nn.Sequential(nn.Linear(4, 4), nn.GELU()), torch.rand(1, 4))


class Two(nn.Module):
    """Two inputs, and one input that holds both."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(3, 4)

    def forward(self, p: Tensor, q: Tensor) -> Tensor:
        return self.a(p) + self.b(q)


class One(nn.Module):
    def __init__(self, two: Two) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(7, 4), nn.Linear(7, 4)
        with torch.no_grad():
            for layer, old, part in ((self.a, two.a, slice(4)), (self.b, two.b, slice(4, 7))):
                layer.weight.zero_()
                layer.weight[:, part], layer.bias[:] = old.weight, old.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x) + self.b(x)


def test_two_inputs_may_become_one():
    torch.manual_seed(0)
    two, p, q = Two(), torch.rand(40, 4), torch.rand(40, 3)
    check(two, (p, q))
    one = One(two)
    torch.testing.assert_close(one(torch.cat([p, q], 1)), two(p, q))
    assert tried(one, torch.cat([p, q], 1)) == ""


class Ends(nn.Module):
    """Two results, returned as they are or joined."""

    def __init__(self, joined: bool) -> None:
        super().__init__()
        self.a, self.b, self.joined = nn.Linear(4, 3), nn.Linear(4, 2), joined

    def forward(self, x: Tensor) -> Any:
        results = self.a(x), self.b(x)
        return torch.cat(results, 1) if self.joined else results


def test_two_results_are_joined_or_not():
    check(Ends(False), torch.rand(1, 4))
    assert tried(Ends(True), torch.rand(9, 4)) == ""


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (torch.rand(4, 4), "takes 2 inputs (p, q), and the example has 1; give a tuple of 2 tensors"),
        ((torch.rand(4, 4), torch.rand(3, 3)), "shapes (4, 4) and (3, 3); give as many samples of each"),
        ((torch.rand(4, 4), None), "the example is a NoneType"),
        ((torch.rand(4, 4), torch.full((4, 3), torch.nan)), "holds NaN"),
    ],
)
def test_examples_that_are_not_of_the_inputs(given: Any, words: str):
    with pytest.raises(IntaglioError, match=re.escape(words)):
        check(Two(), given)


@pytest.mark.parametrize(
    ("forward", "words"),
    [
        (lambda n, p, q: n.a(p), "does not read its input q; leave it out of the arguments of forward"),
        (lambda n, p, q: {"a": n.a(p), "b": n.b(q)}, "returns a dictionary; return a tensor, or several in a tuple"),
        (lambda n, p, q: (n.a(p) + n.b(q), None), "returns what is not computed from its input"),
        (lambda n, p, q: (), "returns no tensors"),
    ],
)
def test_ports_that_hardware_lacks(forward: Any, words: str):
    class Odd(Two):
        def forward(self, p: Tensor, q: Tensor) -> Any:
            return forward(self, p, q)

    with pytest.raises(UnsupportedLayer, match=re.escape(words)):
        check(Odd(), (torch.rand(4, 4), torch.rand(4, 3)))


class Flattened(nn.Module):
    """A layer of joined flattened images, and as its remedy says one layer per part."""

    def __init__(self, apart: bool) -> None:
        super().__init__()
        self.a, self.b, self.apart = nn.Conv2d(2, 3, 1), nn.Conv2d(2, 2, 1), apart
        self.f, self.g = (nn.Linear(48, 4), nn.Linear(32, 4)) if apart else (nn.Linear(80, 4), nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.a(x).flatten(1), self.b(x).flatten(1)
        return self.f(a) + self.g(b) if self.apart else self.f(torch.cat([a, b], 1))


def test_what_only_carving_refuses_is_refused_in_the_words_of_the_network():
    x = torch.rand(8, 2, 4, 4)
    words = r"^torch\.cat, .*test_trial\.py:\d+ `.*concatenates flattened.*a layer of its own"
    with pytest.raises(UnsupportedLayer, match=words):
        check(Flattened(False), x[:1])
    assert tried(Flattened(True), x) == ""
    network = nn.Sequential(nn.Linear(4, 36), nn.Unflatten(1, (4, 3, 3)), nn.Conv2d(4, 2, 1))
    with pytest.raises(UnsupportedLayer, match=r"1 \(Unflatten\).*nn\.Linear\(36, 36\)"):
        check(network, torch.rand(1, 4))
    with pytest.raises(UnsupportedLayer, match=r"^1 \(ZeroPad2d\): .*pad in the convolution or the pool behind it"):
        check(nn.Sequential(nn.Conv2d(2, 3, 1), nn.ZeroPad2d(1)), x[:1])
    assert tried(nn.Sequential(nn.Conv2d(2, 3, 1), nn.Conv2d(3, 3, 3, padding=1)), x) == ""


def test_minus_infinity_pads_max_pools():
    torch.manual_seed(0)
    for pad in (nn.ConstantPad2d(1, -float("inf")), nn.ConstantPad2d((2, 2, 1, 1), -float("inf"))):
        network = nn.Sequential(nn.Conv2d(3, 4, 3), pad, nn.MaxPool2d(3), nn.Flatten(), nn.LazyLinear(3))
        x = torch.randn(16, 3, 6, 6)
        network(x)
        assert tried(network.eval(), x) == ""
    lonely = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ConstantPad2d(3, -float("inf")), nn.MaxPool2d(2))
    with pytest.raises(UnsupportedLayer, match=r"1 \(ConstantPad2d\): pads with infinity"):
        check(lonely, torch.rand(1, 3, 6, 6))
