"""Every refusal of the table, and every remedy: built as the message says, checked, approximated, lowered, carved."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from intaglio.hardware.carving import Carving
from intaglio.ir.errors import UnsupportedLayer
from intaglio.methods import FixedPoint, Recipe
from intaglio.trial import check
from intaglio.twin.lower import equal, lower
from intaglio.twin.supported import PRODUCTS, SUPPORTED, UNSUPPORTED

IMAGE, SIGNAL, VECTOR, STEPS = (4, 6, 6), (4, 9), (8,), (5, 8)
Take = Callable[[nn.Module, nn.Module], None]


class Expression(nn.Module):
    """A function of x as a layer."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


class Part(Expression):
    """A function of x whose first result goes on."""

    def forward(self, x: Tensor) -> Any:
        return self.function(x)[0]


class Joined(nn.Module):
    """A function of what two layers make of x."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b, self.function = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.a(x), self.b(x))


class Held(nn.Module):
    """A weight that stands in no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 8))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight)


@dataclass(frozen=True)
class Case:
    """A refused middle of a network that reads `shape`, and how its replacement is used.

    `take` sets the replacement's weights from the original as the remedy says; then values are equal. `enter` and
    `leave` change the data of the replacement and the results of the original. `tail` follows both, or each its own.
    """

    make: Callable[[], nn.Module]
    shape: tuple[int, ...] = IMAGE
    take: Take | None = None
    enter: Callable[[Tensor], Tensor] = lambda x: x
    leave: Callable[[Tensor], Tensor] = lambda y: y
    tails: Callable[[], tuple[nn.Module, nn.Module]] | None = None


def same(old: nn.Module, new: nn.Module) -> None:
    """Nothing to set."""


def weights(**values: Any) -> Take:
    """Set weight and bias to functions of the original layer."""

    def take(old: nn.Module, new: nn.Module) -> None:
        layer = next(m for m in new.modules() if isinstance(m, nn.Linear | nn.Conv1d | nn.Conv2d))
        with torch.no_grad():
            for name, value in values.items():
                parameter = getattr(layer, name)
                parameter.copy_(value(old).reshape(parameter.shape))

    return take


def rows(start: int, end: int, size: int) -> Take:
    """Rows of the identity: the values start to end."""
    return weights(weight=lambda old: torch.eye(size)[start:end])


def tap(channels: int, *shape: int, at: tuple[int, ...]) -> Take:
    """A kernel of zeros and, for every channel, a one."""
    kernel = torch.zeros(channels, 1, *shape)
    kernel[(slice(None), 0, *at)] = 1
    return weights(weight=lambda old: kernel)


def asymmetric() -> tuple[nn.Module, nn.Module]:
    """A convolution behind an uneven pad, and the one with zeros on the side that got more."""
    old, new = nn.Conv2d(4, 3, 2, bias=False), nn.Conv2d(4, 3, (3, 2), bias=False)
    with torch.no_grad():
        new.weight.zero_()
        new.weight[:, :, 1:] = old.weight
    return old, new


def plain_kernel(old: nn.Module, new: nn.Module) -> None:
    with torch.no_grad():
        new.weight.zero_()
        new.weight[:, :, 1:, 1:], new.bias[:] = old.weight, old.bias


def affine(factor: float, summand: float) -> Take:
    def take(old: nn.Module, new: nn.Module) -> None:
        with torch.no_grad():
            new.weight.copy_(torch.full_like(new.weight, factor) if new.weight.dim() > 2 else factor * torch.eye(8))
            new.bias.fill_(summand)

    return take


def no_running_statistics() -> nn.Module:
    return nn.BatchNorm2d(4, track_running_stats=False)


def pool_then(layer: nn.Module) -> Callable[[], tuple[nn.Module, nn.Module]]:
    return lambda: (layer, layer)


conv_tail = pool_then(nn.Conv2d(4, 3, 3))

CASES: dict[str, Case] = {
    # restrictions of what is supported
    "linear_on_steps": Case(lambda: nn.Linear(8, 3), STEPS, weights(weight=lambda m: m.weight, bias=lambda m: m.bias),
                            lambda x: x.transpose(1, 2), lambda y: y.transpose(1, 2)),
    "padding_mode": Case(lambda: nn.Conv2d(4, 3, 3, padding=1, padding_mode="reflect")),
    "even_same": Case(lambda: nn.Conv2d(4, 3, 2, padding="same"), take=plain_kernel),
    "batch_statistics": Case(no_running_statistics),
    "max_indices": Case(lambda: Part(nn.MaxPool2d(2, return_indices=True)), take=same),
    "max_ceil": Case(lambda: nn.MaxPool2d(4, ceil_mode=True)),
    "average_ceil": Case(lambda: nn.AvgPool2d(4, ceil_mode=True)),
    "divisor": Case(lambda: nn.AvgPool2d(2, divisor_override=3)),
    "count": Case(lambda: nn.AvgPool2d(3, padding=1, count_include_pad=False)),
    "adaptive": Case(lambda: nn.AdaptiveAvgPool2d((3, 2)), take=same),
    "adaptive_uneven": Case(lambda: nn.AdaptiveAvgPool2d(4)),
    "adaptive_none": Case(lambda: nn.AdaptiveAvgPool2d((None, 1)), take=same),
    "pad_uneven": Case(lambda: nn.ZeroPad2d((1, 1, 1, 2)), take=same, tails=asymmetric),
    "pad_axes": Case(lambda: nn.ConstantPad1d((1, 1), 0.0), tails=conv_tail),
    "pad_negative": Case(lambda: nn.ZeroPad2d((0, -2, 0, -2)), take=tap(4, 3, 3, at=(0, 0))),
    "pad_infinity": Case(lambda: nn.ConstantPad2d(1, -float("inf")), tails=conv_tail),
    "flatten_some": Case(lambda: nn.Flatten(2), take=same, leave=lambda y: y.flatten(1)),
    "softmax_inside": Case(lambda: nn.Softmax(1)),
    "add_shapes": Case(lambda: Joined(lambda a, b: a + F.adaptive_avg_pool2d(b, 1))),
    "argmax_image": Case(lambda: Expression(lambda x: x.argmax(1)), enter=lambda x: x.flatten(1)),
    # layers
    **{kind.__name__: Case(lambda kind=kind: kind()) for kind in (nn.GELU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid)},
    "GLU": Case(lambda: nn.GLU(1)),
    "GroupNorm": Case(lambda: nn.GroupNorm(2, 4)), "LayerNorm": Case(lambda: nn.LayerNorm(8), VECTOR),
    "SyncBatchNorm": Case(lambda: nn.SyncBatchNorm(4), take=same),
    "LSTM": Case(lambda: Part(nn.LSTM(8, 6, batch_first=True)), STEPS, enter=lambda x: x.transpose(1, 2)),
    "attention": Case(lambda: nn.TransformerEncoderLayer(8, 2, batch_first=True), STEPS,
                      enter=lambda x: x.transpose(1, 2)),
    "Embedding": Case(lambda: nn.Embedding(7, 3), (5,), weights(weight=lambda m: m.weight.T),
                      lambda x: F.one_hot(x.long(), 7).transpose(1, 2).float(), lambda y: y.transpose(1, 2)),
    "ConvTranspose2d": Case(lambda: nn.ConvTranspose2d(4, 3, 2, 2)),
    "Upsample": Case(lambda: nn.Upsample(scale_factor=2)),
    "PixelUnshuffle": Case(lambda: nn.PixelUnshuffle(2), take=weights(weight=lambda old: torch.eye(16))),
    "Unfold": Case(lambda: nn.Unfold(3), take=weights(weight=lambda old: torch.eye(36)),
                   leave=lambda y: y.reshape(-1, 36, 4, 4)),
    "Conv3d": Case(lambda: nn.Conv3d(2, 3, 3), (2, 3, 5, 5), enter=lambda x: x.flatten(1, 2)),
    "AdaptiveMaxPool2d": Case(lambda: nn.AdaptiveMaxPool2d(3), take=same),
    "LPPool2d": Case(lambda: nn.LPPool2d(2, 2)),
    "ReflectionPad2d": Case(lambda: nn.ReflectionPad2d(1), tails=conv_tail),
    "FeatureAlphaDropout": Case(lambda: nn.FeatureAlphaDropout(), take=same),
    "always_dropout": Case(lambda: Expression(lambda x: F.dropout(x, 0.5))),
    "Unflatten": Case(lambda: nn.Unflatten(1, (2, 2, 2)), VECTOR),
    "Softmin": Case(lambda: nn.Softmin(1)), "Bilinear": Case(lambda: Joined(nn.CosineSimilarity())),
    "loss": Case(lambda: Joined(nn.MSELoss(reduction="none"))),
    # operations
    "mean": Case(lambda: Expression(lambda x: x.mean([2, 3])), take=same),
    "squeeze": Case(lambda: Expression(lambda x: x.squeeze(-1).squeeze(-1)), (4, 1, 1), take=same),
    "permute": Case(lambda: Expression(lambda x: x.permute(0, 3, 1, 2)), (6, 6, 4), same,
                    lambda x: x.permute(0, 3, 1, 2)),
    "channels": Case(lambda: Expression(lambda x: x[:, 1:3]), take=rows(1, 3, 4)),
    "chunk": Case(lambda: Part(lambda x: x.chunk(2, 1)), take=rows(0, 2, 4)),
    "elements": Case(lambda: Expression(lambda x: x[:, 2:5]), VECTOR, rows(2, 5, 8)),
    "crop": Case(lambda: Expression(lambda x: x[:, :, :-2]), SIGNAL, tap(4, 3, at=(0,))),
    "last_step": Case(lambda: Expression(lambda x: x[:, :, -1]), SIGNAL, tap(4, 9, at=(8,))),
    "times": Case(lambda: Expression(lambda x: x * 0.75), take=affine(0.75, 0.0)),
    "plus": Case(lambda: Expression(lambda x: 0.5 + x), VECTOR, affine(1.0, 0.5)),
    "linear_form": Case(Held, VECTOR, weights(weight=lambda m: m.weight)),
    "max": Case(lambda: Part(lambda x: x.max(1)), VECTOR),
    "clamp": Case(lambda: Expression(lambda x: x.clamp(-0.5, 0.25)), take=same),
    "clamp_min": Case(lambda: Expression(lambda x: torch.clamp(x, min=0)), take=same),
    "stack": Case(lambda: Expression(lambda x: torch.stack([x, x], 1).flatten(1, 2)), take=same),
    "cat_axis": Case(lambda: Expression(lambda x: torch.cat([x, x], 2))),
    "difference": Case(lambda: Joined(lambda a, b: a - b)), "product": Case(lambda: Joined(lambda a, b: a * b)),
    "unknown": Case(lambda: Expression(lambda x: torch.cumsum(x, 1))),
    "computed_size": Case(lambda: Expression(lambda x: F.avg_pool2d(x, x.size(3))), take=same),
}  # fmt: skip


def front(shape: tuple[int, ...]) -> nn.Module:
    """A layer that keeps a shape."""
    if len(shape) == 1:
        return nn.Linear(shape[0], shape[0])
    return {2: nn.Conv1d, 3: nn.Conv2d}[len(shape)](shape[0], shape[0], 1)


def tail(y: Tensor) -> nn.Module:
    """A layer behind a result of this shape."""
    if y.dim() <= 2:
        return nn.Linear(y.shape[1], 3) if y.dim() == 2 else nn.Identity()
    return (nn.Conv1d if y.dim() == 3 else nn.Conv2d)(y.shape[1], 3, 1)


def refused(case: Case) -> tuple[nn.Module, nn.Module, str]:
    """The original, its replacement as the message gives it, and the message."""
    torch.manual_seed(0)
    original = case.make().eval()
    x = torch.randint(0, 7, (3, *case.shape)) if isinstance(original, nn.Embedding) else torch.rand(3, *case.shape)
    layers = [] if x.dtype == torch.long or len(case.shape) > 3 else [front(case.shape)]
    network = nn.Sequential(*layers, original, *([case.tails()[0]] if case.tails else [nn.Flatten()]))
    with pytest.raises(UnsupportedLayer) as caught:
        check(network.eval(), x[:1])
    code = re.findall(r": `([^`]+)`$", str(caught.value))
    assert len(code) == 1, caught.value
    names = {"nn": nn, "torch": torch, "F": F}
    made = eval(code[0] if code[0].startswith("nn.") else f"lambda x: {code[0]}", names)
    return original, made.eval() if isinstance(made, nn.Module) else Expression(made), str(caught.value)


@pytest.mark.parametrize("name", CASES)
def test_a_remedy_works(name: str):
    case = CASES[name]
    original, replacement, message = refused(case)
    assert not re.search(r"0x[0-9a-f]{6}|built-in|<function|getitem|_\d+\b|Proxy", message), message
    torch.manual_seed(1)
    raw = torch.randint(0, 7, (24, *case.shape)) if name == "Embedding" else torch.rand(24, *case.shape) * 2 - 1
    x = case.enter(raw)
    behind, ahead = case.tails() if case.tails else (None, None)
    if case.take is not None:
        case.take(original, replacement)
        with torch.no_grad():
            wanted, got = case.leave(original(raw)), replacement(x)
            wanted, got = wanted if behind is None else behind(wanted), got if ahead is None else ahead(got)
        torch.testing.assert_close(got, wanted)
    first = front(tuple(x.shape[1:]))
    with torch.no_grad():
        y = replacement(first(x.float()))
    network = nn.Sequential(first, replacement, *([ahead] if ahead is not None else [tail(y)])).eval()
    check(network, x[:1])
    small = Recipe(FixedPoint(per_channel=True)).apply(network, x).eval()
    graph = lower(small, x[:1])
    assert equal(small, graph, x) == 0
    Carving(graph).carve()
    with torch.no_grad():
        real = network(x)
    if real.dtype.is_floating_point:
        (kind,) = graph.input_types
        found = graph.output_types[0].dequantize(graph(kind.quantize(x.double().numpy().reshape(-1, *kind.shape)))[0])
        off = torch.from_numpy(found).reshape(len(x), -1) - real.reshape(len(x), -1)
        assert off.norm() < 0.05 * real.norm()


def test_every_row_and_restriction_is_tried(monkeypatch: pytest.MonkeyPatch):
    tried: list[str] = [refused(case)[2] for case in CASES.values()]
    remedies = [row.remedy.words for row in UNSUPPORTED + PRODUCTS if row.remedy]
    remedies += [f"{r.problem}; {r.remedy.words}" for row in SUPPORTED for r in row.restrictions]
    assert [words for words in remedies if not any(words in message for message in tried)] == []
