"""What a network may consist of: every layer, its functional forms, its restrictions, and what to write instead.

The one table behind the refusals of `check` and behind the page `docs/howto/own_network.md`. A Remedy says in words
what replaces a layer; its code builds the replacement for the case at hand, and tests run all of it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from intaglio.ir.window import extent, steps
from intaglio.twin import replacements as use
from intaglio.twin.layers import added_by_same
from intaglio.twin.modules import Add, Always, ArgMax, Concat
from intaglio.twin.replacements import Call, Remedy, values
from intaglio.twin.source import key


@dataclass(frozen=True)
class Restriction:
    """A use of a supported layer that has no integer form."""

    problem: str
    remedy: Remedy
    broken: Callable[[Call], bool]


@dataclass(frozen=True)
class Row:
    """Layers and forms that share restrictions, or that are not supported and share a remedy."""

    layers: tuple[type[nn.Module], ...]
    forms: tuple[str, ...] = ()
    restrictions: tuple[Restriction, ...] = ()
    remedy: Remedy | None = None
    note: str = ""


def row_of(layer: type[nn.Module]) -> Row | None:
    """The row of a layer's class, or of the nearest class that it is made from; None where the table has none."""
    return next((_BY_LAYER[kind] for kind in layer.__mro__ if kind in _BY_LAYER), None)


def row_of_form(name: str, reads: int) -> Row | None:
    """The row of a functional form that reads so many activations."""
    found = [row for row in UNSUPPORTED + PRODUCTS if key(name) in map(key, row.forms)]
    fitting = [row for row in found if (row in PRODUCTS) == (reads > 1)]
    return next(iter(fitting or found), None)


# -- the table -------------------------------------------------------------------------------------------------


def _uneven(call: Call) -> bool:
    sides = values(getattr(call.layer, "padding", 0), 2 * call.axes)
    return sides[::2] != sides[1::2]


def _negative(call: Call) -> bool:
    return min(values(getattr(call.layer, "padding", 0), 2 * call.axes)) < 0


def _infinite(call: Call) -> bool:
    value = float(getattr(call.layer, "value", 0.0))
    return value != value or value == float("inf") or (value == -float("inf") and not call.pooled)


def _partial(call: Call) -> bool:
    """Whether ceil_mode makes a difference here."""
    layer = call.layer
    if not getattr(layer, "ceil_mode", False) or len(call.shape) < 2:
        return False
    kernel, stride, padding, dilation = (
        values(getattr(layer, name, 1), call.axes) for name in ("kernel_size", "stride", "padding", "dilation")
    )
    sizes = zip(call.shape[1:], kernel, stride, padding, dilation, strict=True)
    return any(steps(size + 2 * p, extent(k, d), s)[1] for size, k, s, p, d in sizes)


def _even_same(call: Call) -> bool:
    layer = call.layer
    assert isinstance(layer, nn.Conv1d | nn.Conv2d)
    return layer.padding == "same" and any(taps % 2 for taps in added_by_same(layer))


def _along_channels(call: Call) -> bool:
    """Whether a softmax runs over axis 1; torch's own choice of an axis is the first for signals."""
    dim = getattr(call.layer, "dim", None)
    return dim == 1 or (dim == -1 and len(call.shape) == 1) or (dim is None and len(call.shape) != 2)


def _not_one(call: Call) -> bool:
    sizes = getattr(call.layer, "output_size", 1)
    wanted = sizes if isinstance(sizes, tuple | list) else (sizes,) * call.axes
    return any(out != 1 for out in wanted)


CEIL = Restriction(
    "ceil_mode adds a partial window here",
    Remedy(use.SAME_POOL, use.same_pool("MaxPool")),
    _partial,
)
PADS = (
    Restriction(
        "pads other axes than those of its input",
        Remedy("use the pad with the number of axes of its input", use.zeros),
        lambda call: isinstance(call.layer, nn.ConstantPad1d) == (len(call.shape) == 3) or len(call.shape) < 2,
    ),
    Restriction(
        "pads by a negative number, which cuts",
        use.SELECT,
        _negative,
    ),
    Restriction(
        "pads one side more than the other",
        Remedy(
            "pad both sides by the larger number and lengthen the kernel behind it by the difference, with weights of "
            "zero on the side that got more",
            use.zeros,
            equal=True,
        ),
        _uneven,
    ),
    Restriction(
        "pads with infinity or NaN; minus infinity is for max pools alone, whose windows all reach into the image",
        Remedy("pad with zero and train again", use.zeros),
        _infinite,
    ),
)

SUPPORTED = (
    Row(
        (nn.Linear,),
        restrictions=(
            Restriction(
                "acts on the last axis of a tensor of several axes",
                Remedy(
                    "flatten first, or put the features first, (features, steps), and use a convolution of kernel 1",
                    use.pointwise_over("in_features", "out_features"),
                    equal=True,
                ),
                lambda call: len(call.shape) > 1,
            ),
        ),
    ),
    Row(
        (nn.Conv1d, nn.Conv2d),
        restrictions=(
            Restriction(
                "pads by a padding_mode other than 'zeros'",
                Remedy("pad with zeros and train again", use.convolution()),
                lambda call: getattr(call.layer, "padding_mode", "zeros") != "zeros",
            ),
            Restriction(
                "padding='same' with an even kernel pads one side more than the other",
                Remedy(
                    "use a kernel one larger, with weights of zero in front, and the same padding on both sides",
                    use.convolution(odd=True),
                    equal=True,
                ),
                _even_same,
            ),
        ),
        note="stride, padding, dilation and groups as you like",
    ),
    Row(
        (nn.BatchNorm1d, nn.BatchNorm2d),
        restrictions=(
            Restriction(
                "uses the statistics of the batch at hand (no running statistics), so it is not a fixed function",
                Remedy("set track_running_stats=True and train again", use.norm),
                lambda call: getattr(call.layer, "running_mean", None) is None,
            ),
        ),
    ),
    Row((nn.ReLU, nn.ReLU6, nn.Hardtanh), ("F.relu", "torch.relu", "x.relu", "F.relu6", "F.hardtanh")),
    Row(
        (nn.MaxPool1d, nn.MaxPool2d),
        ("F.max_pool1d", "F.max_pool2d"),
        (
            Restriction(
                "return_indices gives a second tensor",
                Remedy("leave return_indices out", use.same_pool("MaxPool"), equal=True),
                lambda call: bool(getattr(call.layer, "return_indices", False)),
            ),
            CEIL,
        ),
    ),
    Row(
        (nn.AvgPool1d, nn.AvgPool2d),
        ("F.avg_pool1d", "F.avg_pool2d"),
        (
            Restriction(
                "ceil_mode adds a partial window here", Remedy(use.SAME_POOL, use.same_pool("AvgPool")), _partial
            ),
            Restriction(
                "divisor_override has no integer form",
                Remedy("leave it out; the next layer's weights take the factor", use.same_pool("AvgPool")),
                lambda call: getattr(call.layer, "divisor_override", None) is not None,
            ),
            Restriction(
                "count_include_pad=False divides by a number that varies",
                Remedy("set count_include_pad=True and train again", use.same_pool("AvgPool")),
                lambda call: (
                    not getattr(call.layer, "count_include_pad", True)
                    and any(values(getattr(call.layer, "padding", 0), call.axes))
                ),
            ),
        ),
    ),
    Row(
        (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d),
        ("F.adaptive_avg_pool2d",),
        (
            Restriction(
                "adapts to another size than 1",
                Remedy("use a pool of fixed size: the same values where sizes divide", use.fixed_pool("AvgPool")),
                _not_one,
            ),
        ),
    ),
    Row(
        (nn.ConstantPad1d, nn.ConstantPad2d, nn.ZeroPad1d, nn.ZeroPad2d),
        ("F.pad",),
        PADS,
        note="in front of a convolution, a max pool, or (zeros) an average pool",
    ),
    Row(
        (nn.Flatten,),
        ("torch.flatten", "torch.reshape", "x.flatten", "x.reshape", "x.view"),
        (
            Restriction(
                "flattens only some axes",
                use.FLATTEN,
                lambda call: (getattr(call.layer, "start_dim", 1), getattr(call.layer, "end_dim", -1)) != (1, -1),
            ),
        ),
    ),
    Row(
        (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.Identity),
        ("F.dropout", "x.contiguous"),
        note="no effect in evaluation: left out",
    ),
    Row(
        (Add,),
        ("x + y", "torch.add", "x.add", "sum(parts)"),
        (
            Restriction(
                "adds tensors of different shapes",
                use.SAME_SHAPE,
                lambda call: any(shape != call.shape for shape in call.others),
            ),
        ),
        note="of two activations",
    ),
    Row((Concat,), ("torch.cat",), note="along axis 1, of images before they are flattened"),
    Row(
        (ArgMax,),
        ("torch.argmax", "x.argmax"),
        (
            Restriction(
                "is only supported as the last operation, along axis 1 of (batch, classes)",
                use.VECTOR,
                lambda call: (
                    not call.last or len(call.shape) != 1 or getattr(call.layer, "dim", None) not in (1, -1)
                ),
            ),
        ),
        note="at the end",
    ),
    Row(
        (nn.Softmax, nn.LogSoftmax),
        ("F.softmax", "F.log_softmax", "torch.softmax", "x.softmax"),
        (
            Restriction(
                "is only supported as the last layer, along axis 1, where it is left out",
                use.UNIT_CLIP,
                lambda call: not call.last or not _along_channels(call),
            ),
        ),
        note="the network gives the logits",
    ),
    Row((nn.ChannelShuffle,), ("F.channel_shuffle", "torch.channel_shuffle"), note="also as view, transpose, view"),
)
"""Layers with an integer form."""

_LOSSES = tuple(
    kind for name, kind in vars(nn).items() if name.endswith("Loss") and isinstance(kind, type)
)

UNSUPPORTED = (
    Row(
        (nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardswish, nn.LeakyReLU, nn.LogSigmoid, nn.Mish, nn.PReLU,
         nn.RReLU, nn.SELU, nn.SiLU, nn.Softplus, nn.Softshrink, nn.Tanhshrink, nn.Threshold),
        ("F.celu", "F.elu", "F.gelu", "F.hardshrink", "F.hardswish", "F.leaky_relu", "F.logsigmoid", "F.mish",
         "F.prelu", "F.rrelu", "F.selu", "F.silu", "F.softplus", "F.softshrink", "F.tanhshrink", "F.threshold",
         "torch.abs", "torch.exp", "torch.log", "torch.sqrt", "torch.square", "torch.sin", "torch.cos", "x ** y"),
        remedy=use.RELU,
    ),
    Row((nn.Tanh, nn.Softsign), ("F.tanh", "torch.tanh", "x.tanh", "F.softsign"), remedy=use.CLIP),
    Row(
        (nn.Sigmoid, nn.Hardsigmoid), ("F.sigmoid", "torch.sigmoid", "x.sigmoid", "F.hardsigmoid"), remedy=use.UNIT_CLIP
    ),
    Row(
        (nn.GLU,),
        ("F.glu",),
        remedy=Remedy(
            "use a layer with half as many channels, nn.ReLU behind it, and train again",
            lambda call: f"nn.Sequential({use.pointwise(call, max(call.channels // 2, 1), bias=True)}, nn.ReLU())",
        ),
    ),
    Row(
        (nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.LocalResponseNorm,
         nn.CrossMapLRN2d),
        ("F.group_norm", "F.layer_norm", "F.rms_norm", "F.instance_norm", "F.local_response_norm", "F.normalize"),
        remedy=use.NORM,
    ),
    Row(
        (nn.SyncBatchNorm,),
        remedy=Remedy("use batch norm with the same parameters and statistics", use.norm, equal=True),
    ),
    Row(
        (nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention, nn.Transformer, nn.TransformerEncoder,
         nn.TransformerDecoder, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer),
        ("F.scaled_dot_product_attention", "F.multi_head_attention_forward"),
        remedy=use.STEPS,
        note="recurrent layers, attention",
    ),
    Row(
        (nn.Embedding, nn.EmbeddingBag),
        ("F.embedding", "F.one_hot"),
        remedy=Remedy(
            "give the network vectors of zeros and a one, (numbers, steps), and use a convolution of kernel 1 with the "
            "weight transposed",
            use.pointwise_over("num_embeddings", "embedding_dim", ", bias=False"),
            equal=True,
        ),
    ),
    Row(
        (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d, nn.Fold,
         nn.PixelShuffle, nn.MaxUnpool1d, nn.MaxUnpool2d),
        ("F.conv_transpose1d", "F.conv_transpose2d", "F.interpolate", "F.upsample", "F.pixel_shuffle", "F.fold",
         "F.max_unpool1d", "F.max_unpool2d", "F.grid_sample"),
        remedy=use.KEEP_SIZE,
    ),
    Row(
        (nn.PixelUnshuffle, nn.Unfold),
        ("F.pixel_unshuffle", "F.unfold"),
        remedy=Remedy(
            "use a convolution without bias of that window whose weights are zeros and a one for each value it takes",
            use.window,
            equal=True,
        ),
    ),
    Row(
        (nn.Conv3d, nn.ConvTranspose3d, nn.BatchNorm3d, nn.InstanceNorm3d, nn.MaxPool3d, nn.AvgPool3d, nn.LPPool3d,
         nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool3d, nn.FractionalMaxPool3d, nn.MaxUnpool3d, nn.Dropout3d,
         nn.ConstantPad3d, nn.ReflectionPad3d, nn.ReplicationPad3d, nn.CircularPad3d),
        ("F.conv3d", "F.max_pool3d", "F.avg_pool3d", "F.adaptive_avg_pool3d", "F.adaptive_max_pool3d"),
        remedy=use.FLAT_DEPTH,
    ),
    Row(
        (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d),
        ("F.adaptive_max_pool1d", "F.adaptive_max_pool2d"),
        remedy=Remedy("use a pool of fixed size: the same values where sizes divide", use.fixed_pool("MaxPool")),
    ),
    Row(
        (nn.LPPool1d, nn.LPPool2d, nn.FractionalMaxPool2d),
        ("F.lp_pool1d", "F.lp_pool2d", "F.fractional_max_pool2d"),
        remedy=Remedy("use a max pool and train again", use.same_pool("MaxPool")),
    ),
    Row(
        (nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReplicationPad1d, nn.ReplicationPad2d, nn.CircularPad1d,
         nn.CircularPad2d),
        remedy=Remedy("pad with zeros and train again", use.zeros),
    ),
    Row(
        (nn.FeatureAlphaDropout,),
        ("F.feature_alpha_dropout",),
        remedy=Remedy("use nn.Dropout", use.just("nn.Dropout()"), equal=True),
    ),
    Row(
        (Always,),
        ("F.dropout",),
        remedy=Remedy("use nn.Dropout, or pass training=self.training", use.just("nn.Dropout()")),
        note="also active in evaluation",
    ),
    Row(
        (nn.Unflatten,),
        ("x.unflatten",),
        remedy=Remedy(
            "go on with vectors and nn.Linear, or keep images until the last convolution",
            lambda call: f"nn.Linear({call.channels}, {call.channels})",
        ),
    ),
    Row((nn.Softmax2d, nn.Softmin), ("F.softmin", "F.gumbel_softmax"), remedy=use.LEAVE_OUT),
    Row(
        (nn.Bilinear, nn.CosineSimilarity, nn.PairwiseDistance),
        ("F.cosine_similarity", "F.bilinear"),
        remedy=use.OUTSIDE,
    ),
    Row(_LOSSES, ("F.cross_entropy", "F.nll_loss", "F.mse_loss"), remedy=use.TRAINING),
    Row((), ("torch.mean", "x.mean", "torch.sum", "x.sum"), remedy=use.MEAN),
    Row((), ("torch.squeeze", "x.squeeze"), remedy=use.FLATTEN),
    Row(
        (),
        ("torch.permute", "x.permute", "torch.transpose", "x.transpose", "torch.movedim", "torch.swapaxes", "x.t",
         "torch.unsqueeze", "x.unsqueeze", "torch.flip", "torch.roll"),
        remedy=use.ARRANGE,
    ),
    Row(
        (),
        ("x[...]", "torch.chunk", "x.chunk", "torch.split", "x.split", "torch.narrow", "x.narrow", "torch.select",
         "torch.unbind", "torch.index_select", "torch.tensor_split"),
        remedy=use.SELECT,
    ),
    Row(
        (),
        ("x + y", "x - y", "x * y", "x / y", "-x", "torch.add", "torch.sub", "torch.mul", "torch.div", "torch.neg"),
        remedy=use.SCALE,
        note="with a number or a parameter",
    ),
    Row(
        (),
        ("x @ y", "torch.matmul", "torch.mm", "torch.bmm", "torch.einsum", "F.linear", "F.conv1d", "F.conv2d",
         "F.batch_norm"),
        remedy=use.HOLD,
    ),
    Row((), ("x.max", "torch.max", "torch.amax", "torch.topk", "torch.sort", "torch.argsort"), remedy=use.ARGMAX),
    Row(
        (),
        ("x.clamp", "torch.clamp", "torch.clip", "torch.clamp_min", "torch.clamp_max"),
        remedy=Remedy("use nn.Hardtanh(low, high); nn.ReLU where only 0 is a bound", use.clamp, equal=True),
    ),
    Row(
        (),
        ("torch.stack", "x.repeat", "x.expand", "torch.tile"),
        remedy=use.JOIN,
    ),
)  # fmt: skip
"""What has no integer form, and what replaces it."""

PRODUCTS = (
    Row(
        (),
        ("x - y", "torch.sub"),
        remedy=Remedy(
            "add what a layer with a weight of -1 on the diagonal makes of the second one",
            lambda call: use.pointwise(call, call.channels, groups=True),
            equal=True,
        ),
        note="of two activations",
    ),
    Row(
        (),
        ("x * y", "x / y", "x @ y", "x ** y", "torch.mul", "torch.div", "torch.matmul", "torch.bmm", "torch.einsum",
         "torch.maximum", "torch.minimum", "torch.where"),
        remedy=Remedy("add them instead, x + y, and train again", use.just("x + x")),
        note="of two activations",
    ),
)  # fmt: skip
"""Operations on two activations."""

ANYTHING_ELSE = use.OUTSIDE
"""For what the table does not know."""

_BY_LAYER = {kind: row for row in SUPPORTED + UNSUPPORTED for kind in row.layers}
