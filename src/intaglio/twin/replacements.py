"""What a user writes instead of a layer without integer form: remedies in words, and as Python for the case at hand."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from intaglio.ir.window import extent

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Call:
    """One use of a layer or an operation.

    `layer` is None for an operation, whose other arguments are `settings`. `shape` enters first, `others` after it, and
    `result` leaves, all without the batch. `last`: the result only leaves the network. `pooled`: only max pools read
    it, and each of their windows holds a value of what it pads.
    """

    layer: nn.Module | None
    shape: Shape
    result: Shape = ()
    settings: tuple[tuple[object, ...], dict[str, object]] = ((), {})
    others: tuple[Shape, ...] = ()
    last: bool = False
    pooled: bool = False

    @property
    def channels(self) -> int:
        """Channels of the input."""
        return self.shape[0] if self.shape else 1

    @property
    def axes(self) -> int:
        """1 for signals and vectors, 2 for images: the number in a layer's name."""
        return 2 if len(self.shape) > 2 else 1


@dataclass(frozen=True)
class Remedy:
    """What to write instead: in words, and as Python for one Call, a module or an expression of x.

    `equal`: once the weights are set as the words say, the values are those of the original.
    """

    words: str
    code: Callable[[Call], str]
    equal: bool = False


def just(text: str) -> Callable[[Call], str]:
    """The same code for every Call."""
    return lambda call: text


def values(value: object, axes: int) -> list[int]:
    """A setting of a layer as one number per axis."""
    return [int(v) for v in value] if isinstance(value, tuple | list) else [int(value)] * axes  # type: ignore[call-overload]


def shown(values: list[int]) -> str:
    """A setting as it is written."""
    return str(values[0]) if len(set(values)) == 1 else str(tuple(values))


def setting(call: Call, *names: str, default: int = 0) -> int:
    """The first of these settings that the layer has, as one number."""
    found = [getattr(call.layer, name) for name in names if hasattr(call.layer, name)]
    return values(found[0], 1)[0] if found and found[0] is not None else default or call.channels


def norm(call: Call) -> str:
    """Batch norm of as many channels."""
    return f"nn.BatchNorm{call.axes}d({call.channels})"


def mixing(call: Call) -> str:
    """A 3-wide convolution over steps in place of a layer over (steps, features)."""
    features = call.shape[-1]
    return f"nn.Conv1d({features}, {setting(call, 'hidden_size', 'embed_dim', default=features)}, 3, padding=1)"


def same_size(call: Call) -> str:
    """A convolution that keeps the size."""
    return f"nn.Conv{call.axes}d({call.channels}, {setting(call, 'out_channels')}, 3, padding=1)"


def flat_depth(call: Call) -> str:
    """A convolution of images whose channels are channels times depth."""
    channels = call.channels * (call.shape[1] if len(call.shape) > 1 else 1)
    return f"nn.Conv2d({channels}, {setting(call, 'out_channels')}, 3, padding=1)"


def pointwise(call: Call, outputs: int, groups: bool = False, bias: bool = False) -> str:
    """A layer that mixes channels and nothing else."""
    rest = f"{', groups=' + str(call.channels) if groups else ''}{'' if bias else ', bias=False'}"
    if len(call.shape) < 2:
        return f"nn.Linear({call.channels}, {outputs}{'' if bias else ', bias=False'})"
    return f"nn.Conv{call.axes}d({call.channels}, {outputs}, 1{rest})"


def pointwise_over(inputs: str, outputs: str, rest: str = "") -> Callable[[Call], str]:
    """A convolution of kernel 1 over steps, of as many features as these settings of the layer say."""
    return lambda call: f"nn.Conv1d({setting(call, inputs)}, {setting(call, outputs)}, 1{rest})"


def _cut(call: Call) -> Shape:
    """What a pad by negative numbers leaves."""
    sides = values(getattr(call.layer, "padding", 0), 2 * call.axes)
    kept = [n + sum(sides[2 * i : 2 * i + 2]) for i, n in enumerate(reversed(call.shape[1:]))]
    return (call.channels, *reversed([min(k, n) for k, n in zip(kept, reversed(call.shape[1:]), strict=True)]))


def selection(call: Call) -> str:
    """Fixed weights of zeros and a one per output, which pick a part of a tensor."""
    shape, result = call.shape, call.result or _cut(call)
    if len(shape) < 2:
        return pointwise(call, result[0] if result else 1)
    if len(result) == len(shape) and result[1:] == shape[1:]:
        return pointwise(call, result[0])
    kept = result[1:] if len(result) == len(shape) else (1,) * (len(shape) - 1)
    kernel = shown([n - k + 1 for n, k in zip(shape[1:], kept, strict=True)])
    crop = f"nn.Conv{call.axes}d({shape[0]}, {shape[0]}, {kernel}, groups={shape[0]}, bias=False)"
    return crop if len(result) == len(shape) else f"nn.Sequential({crop}, nn.Flatten())"


def fixed_pool(kind: str) -> Callable[[Call], str]:
    """The pool of a fixed size with as many outputs as an adaptive one."""

    def code(call: Call) -> str:
        sizes = list(call.shape[1:])
        wanted = getattr(call.layer, "output_size", 1)
        wanted = wanted if isinstance(wanted, tuple | list) else (wanted,) * len(sizes)
        outputs = [size if out is None else int(out) for size, out in zip(sizes, wanted, strict=True)]
        strides = [max(size // out, 1) for size, out in zip(sizes, outputs, strict=True)]
        zipped = zip(sizes, outputs, strides, strict=True)
        kernels = [max(size - (out - 1) * stride, 1) for size, out, stride in zipped]
        return f"nn.{kind}{call.axes}d({shown(kernels)}, {shown(strides)})"

    return code


def same_pool(kind: str) -> Callable[[Call], str]:
    """A pool of the same window, without the setting that has no integer form."""

    def code(call: Call) -> str:
        kernel, stride, padding = (
            values(getattr(call.layer, name, default) or default, call.axes)
            for name, default in (("kernel_size", 2), ("stride", 2), ("padding", 0))
        )
        rest = f", padding={shown(padding)}" if any(padding) else ""
        return f"nn.{kind}{call.axes}d({shown(kernel)}, {shown(stride)}{rest})"

    return code


def convolution(**changed: object) -> Callable[[Call], str]:
    """The same convolution with other settings."""

    def code(call: Call) -> str:
        layer = call.layer
        assert isinstance(layer, nn.Conv1d | nn.Conv2d)
        kernel = [k + (k % 2 == 0) * ("odd" in changed) for k in layer.kernel_size]
        dilation = list(layer.dilation)
        wanted = layer.padding if isinstance(layer.padding, tuple) else ()
        padding = list(wanted) or [(extent(k, d) - 1) // 2 for k, d in zip(kernel, dilation, strict=True)]
        settings = {"stride": list(layer.stride), "padding": padding, "dilation": dilation}
        written = [f"{n}={shown(v)}" for n, v in settings.items() if set(v) != {0 if n == "padding" else 1}]
        written += [f"groups={layer.groups}"] * (layer.groups > 1) + ["bias=False"] * (layer.bias is None)
        head = f"{layer.in_channels}, {layer.out_channels}, {shown(kernel)}"
        return f"nn.Conv{call.axes}d({', '.join([head, *written])})"

    return code


def clamp(call: Call) -> str:
    """The layer that clips as x.clamp(low, high) does."""
    given, named = call.settings
    low, high = (named.get(name, given[i] if len(given) > i else None) for i, name in enumerate(("min", "max")))
    return f"nn.Hardtanh({low or 0}, {high})" if high is not None else "nn.ReLU()"


def zeros(call: Call) -> str:
    """Zeros on all sides, as many on both sides of an axis."""
    sides = [max(side, 0) for side in values(getattr(call.layer, "padding", 1), 2 * call.axes)]
    equal = [max(pair) for pair in zip(sides[::2], sides[1::2], strict=True) for _ in pair]
    return f"nn.ZeroPad{call.axes}d({shown(equal)})"


def window(call: Call) -> str:
    """The convolution that takes every window apart: pixel_unshuffle, unfold."""
    size = setting(call, "downscale_factor", "kernel_size", default=2)
    stride = setting(call, "downscale_factor", "stride", default=1)
    return f"nn.Conv2d({call.channels}, {call.channels * size**2}, {size}, stride={stride}, bias=False)"


RELU = Remedy("use nn.ReLU and train again", just("nn.ReLU()"))
CLIP = Remedy("use nn.Hardtanh and train again", just("nn.Hardtanh()"))
UNIT_CLIP = Remedy(
    "use nn.Hardtanh(0, 1) and train again; at the end leave it out, a logit above 0 is a probability above 1/2",
    just("nn.Hardtanh(0, 1)"),
)
NORM = Remedy("use batch norm and train again", norm)
LEAVE_OUT = Remedy("leave it out: the largest value stays the largest", just("nn.Identity()"))
OUTSIDE = Remedy("leave it out of the network, and compute it before or after", just("nn.Identity()"))
TRAINING = Remedy("leave it out of the network: a loss belongs to training", just("nn.Identity()"))
STEPS = Remedy(
    "put the features first, (features, steps), use convolutions over the steps and train again", mixing
)
KEEP_SIZE = Remedy(
    "keep the size instead, by strides of 1 before it and a convolution here, and train again; at the end of a "
    "network leave it out and compute it afterwards",
    same_size,
)
FLAT_DEPTH = Remedy("make images of the volumes, (channels * depth, height, width), and use 2-D layers", flat_depth)
SELECT = Remedy(
    "use a layer without bias whose weight is zeros and, for each value that is kept, a one; one such layer per part",
    selection,
    equal=True,
)
SCALE = Remedy(
    "use a layer whose weight is the factor (1 for none) on the diagonal and whose bias is the summand",
    lambda call: pointwise(call, call.channels, groups=True, bias=True),
    equal=True,
)
FLATTEN = Remedy("use nn.Flatten, or x.flatten(1)", just("nn.Flatten()"), equal=True)
ARRANGE = Remedy(
    "arrange the data before they enter the network: (channels, height, width), (channels, steps) or a vector",
    just("nn.Identity()"),
    equal=True,
)
HOLD = Remedy(
    "use the layer that holds the weight: nn.Linear, nn.Conv1d, nn.Conv2d or batch norm",
    lambda call: pointwise(call, call.result[0] if call.result else call.channels),
    equal=True,
)
ARGMAX = Remedy("for classes end the network with x.argmax(1); over an image use a max pool", just("x.argmax(1)"))
MEAN = Remedy(
    "for the mean of every channel use global average pooling, nn.AdaptiveAvgPool1d(1) or nn.AdaptiveAvgPool2d(1), and "
    "nn.Flatten; a sum is that mean with larger weights in the next layer",
    lambda call: f"nn.Sequential(nn.AdaptiveAvgPool{call.axes}d(1), nn.Flatten())",
    equal=True,
)
SUM_PARTS = Remedy(
    "give every part a layer of its own and add the results: a layer of joined tensors is the sum of a layer of each",
    lambda call: f"nn.Linear({call.channels}, 10)",
    equal=True,
)
JOIN = Remedy("join along the channels", just("torch.cat([x, x], 1)"))
WHOLE = Remedy(
    "write the size as a number; for the whole image use global average pooling", just("F.adaptive_avg_pool2d(x, 1)")
)
PLAIN = Remedy("use the layer of that name in torch.nn, and see its restrictions", just("nn.ReLU()"))
SAME_SHAPE = Remedy("add tensors of one shape and train again", just("x + x"))
VECTOR = Remedy(
    "end with a layer on vectors in front of argmax, x.argmax(1) of (batch, classes); a map of classes comes from the "
    "outputs, outside the network",
    just("x.argmax(1)"),
)
UNREAD = Remedy("leave it out of the arguments of forward", just("def forward(self, x):"))
PARTS = Remedy("call its parts in the forward pass of the network", just("nn.Identity()"))
ONCE = Remedy("call the network once with data, which sets its sizes", just("network(data)"))
RESULTS = Remedy("return a tensor, or several in a tuple", just("return x, x"))
PADDED_LAYER = Remedy(
    "leave it out and pad in the convolution or the pool behind it", just("nn.Identity()")
)
KEEP_VECTOR = Remedy(
    "a vector goes on as a vector, through nn.Linear; images keep their shape until the last convolution; data are "
    "shaped before they enter the network",
    lambda call: f"nn.Linear({call.channels}, {call.channels})",
)
SAME_POOL = "use the same pool without it and train again; sizes may become smaller"
