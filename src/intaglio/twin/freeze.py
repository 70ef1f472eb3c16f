"""From a trained network to one whose every value is a dyadic number: the torch twin of the Graph.

Freezing makes an evaluation copy in float64 in which weights are integers times their scale, batch norm is
merged, biases lie on a grid, averages are sums times a dyadic factor, clips are part of the quantisers, and
a final softmax is gone (the outputs are logits; the largest stays the largest). Such a network computes
without any rounding that is not a quantiser's, so it equals the Graph bit for bit.

A batch norm between a layer and a quantiser of few levels becomes that quantiser's thresholds, exactly (see
`staircase`). After any other layer it changes the layer's scale to one 8-bit mantissa per channel (relative error
at most 2**-8); anywhere else it becomes an Affine with a 12-bit mantissa.
"""

import copy
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from intaglio.ir.errors import UnsupportedLayer
from intaglio.twin.flat import is_reshape, module_of
from intaglio.twin.grid import OFFSET_GRID, fractions, round_mantissa, unit
from intaglio.twin.layers import WEIGHTED, require_finite
from intaglio.twin.modules import Affine, SumPool
from intaglio.twin.placement import only_user, role_of
from intaglio.twin.quantizers import ActivationQuantizer, LevelQuantizer
from intaglio.twin.stack import integers
from intaglio.twin.staircase import MOST_LEVELS, Staircase, staircase
from intaglio.twin.trace import trace

MERGED_MANTISSA = 8
AFFINE_MANTISSA = 12
NEGLIGIBLE = 2.0**-24  # of the largest gain: below it, a channel is its offset
_DROPPED = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.Identity)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
_FROZEN = "intaglio_frozen"


def freeze(model: nn.Module) -> GraphModule:
    """The exact evaluation copy of a quantised network, in float64; freezing it again changes nothing.

    Raises:
        StructureError: a weight is not on a grid; UnsupportedLayer: a layer setting without an exact form;
        RangeError: a parameter is not finite.
    """
    gm = trace(copy.deepcopy(model))
    if gm.meta.get(_FROZEN):
        return gm
    gm = gm.double().eval()
    for name, module in gm.named_modules():
        own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        if own:  # a layer, or the original of a parametrisation
            require_finite(name, module)
    _drop(gm)
    _averages(gm)
    _weights(gm)
    _clips(gm)
    _staircases(gm)
    _norms(gm)
    _biases(gm)
    gm.graph.lint()
    gm.delete_all_unused_submodules()
    gm.recompile()
    gm.meta[_FROZEN] = True
    return gm.eval()


def _nodes(gm: GraphModule, kinds: tuple[type[nn.Module], ...]) -> list[tuple[Node, nn.Module]]:
    """Nodes that call a module of one of these kinds, with the module."""
    found = [(node, module_of(gm, node)) for node in gm.graph.nodes]
    return [(node, module) for node, module in found if isinstance(module, kinds)]


def _erase(gm: GraphModule, node: Node) -> None:
    node.replace_all_uses_with(node.all_input_nodes[0])
    gm.graph.erase_node(node)


def _drop(gm: GraphModule) -> None:
    """Remove dropout, identities and a softmax whose result only leaves the network."""
    for node, _ in _nodes(gm, _DROPPED):
        _erase(gm, node)
    for node, module in reversed(_nodes(gm, (nn.Softmax, nn.LogSoftmax))):
        if all(user.op == "output" for user in node.users) and getattr(module, "dim", None) in (None, 1, -1):
            _erase(gm, node)


def _averages(gm: GraphModule) -> None:
    """Average pools become sums times a dyadic factor."""
    kinds = (nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d)
    for node, module in _nodes(gm, kinds):
        gm.set_submodule(str(node.target), _average(str(node.target), module))


def _average(name: str, module: nn.Module) -> SumPool:
    """The exact form of one average pool."""
    if isinstance(module, nn.AdaptiveAvgPool1d | nn.AdaptiveAvgPool2d):
        size = module.output_size
        if any(part != 1 for part in (size if isinstance(size, tuple) else (size,))):
            raise UnsupportedLayer(f"{name}: adaptive pooling to {size}; only to 1 is supported: use AvgPool2d")
        return SumPool(None, (), ())
    assert isinstance(module, nn.AvgPool1d | nn.AvgPool2d)
    axes = 1 if isinstance(module, nn.AvgPool1d) else 2
    kernel, stride, padding = (_tuple(v, axes) for v in (module.kernel_size, module.stride, module.padding))
    if module.ceil_mode or getattr(module, "divisor_override", None):
        raise UnsupportedLayer(f"{name}: ceil_mode and divisor_override have no integer form: leave them out")
    if any(padding) and not module.count_include_pad:
        raise UnsupportedLayer(f"{name}: count_include_pad=False divides by a varying size: set it to True")
    return SumPool(kernel, stride, padding)


def _tuple(value: int | tuple[int, ...], axes: int) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple) else (value,) * axes


def _weights(gm: GraphModule) -> None:
    """Parametrised weights become plain parameters of exact values, with their scales beside them."""
    for name, layer in list(gm.named_modules()):
        if isinstance(layer, WEIGHTED):
            whole, scales = integers(layer, name)
            layer = _plain(layer)
            gm.set_submodule(name, layer)
            set_weight(layer, whole, scales)


def _plain(layer: nn.Module) -> nn.Module:
    """The layer without parametrisations.

    torch's own removal would take `weight` from the class, which copies of a parametrised layer share.
    """
    if not nn.utils.parametrize.is_parametrized(layer):
        return layer
    kind = type(layer).__mro__[1]
    plain: nn.Module = object.__new__(kind)
    plain.__dict__.update(layer.__dict__)
    plain._modules = {}
    plain._parameters = {"weight": None, **layer._parameters}
    return plain


def set_weight(layer: nn.Module, whole: np.ndarray, scales: tuple[Fraction, ...]) -> None:
    """Store integers times scales as a layer's weight, exactly."""
    columns = np.array([float(scale) for scale in scales]).reshape(-1, *[1] * (whole.ndim - 1))
    layer.weight = nn.Parameter(torch.from_numpy(whole * columns), requires_grad=False)
    layer.integer_scale = scales  # type: ignore[assignment]


def _staircases(gm: GraphModule) -> None:
    """Quantisers of few levels become exact comparisons: behind layer and batch norm, and those of uneven levels."""
    calls = [str(node.target) for node in gm.graph.nodes if node.op == "call_module"]
    for node, quantizer in _nodes(gm, (ActivationQuantizer,)):
        assert isinstance(quantizer, ActivationQuantizer)
        uneven = isinstance(quantizer, LevelQuantizer)
        before = node.all_input_nodes[0]
        layer = _normalised_layer(gm, before, calls) if only_user(before) is node else None
        if layer is not None and (uneven or quantizer.high - quantizer.low < MOST_LEVELS):
            norm = gm.get_submodule(str(before.target))
            gm.set_submodule(str(node.target), _comparisons(str(before.target), norm, layer, quantizer))
            _erase(gm, before)
        elif uneven and before.op != "placeholder":
            gm.set_submodule(str(node.target), staircase(quantizer))


def _normalised_layer(gm: GraphModule, norm: Node, calls: list[str]) -> nn.Module | None:
    """The layer with weights, called once, that only a batch norm reads; None if `norm` is none or reads another."""
    if not isinstance(module_of(gm, norm), _NORMS):
        return None
    source = norm.all_input_nodes[0]
    layer = module_of(gm, source)
    alone = only_user(source) is norm and calls.count(str(source.target)) == 1
    return layer if isinstance(layer, WEIGHTED) and alone else None


def _comparisons(name: str, norm: nn.Module, layer: nn.Module, quantizer: ActivationQuantizer) -> Staircase:
    """quantizer(norm(layer)) as comparisons of the layer's sums; rows of negative gain change their sign."""
    gain, offset = (values.numpy() for values in _norm(name, norm))
    whole, scales = integers(layer)
    sign = np.where(gain < 0, -1, 1)
    set_weight(layer, whole * sign.reshape(-1, *[1] * (whole.ndim - 1)), scales)
    bias = layer.bias.detach().numpy() if layer.bias is not None else np.zeros(len(gain))  # type: ignore[union-attr]
    layer.bias = None  # type: ignore[assignment]
    return staircase(quantizer, (gain * sign).tolist(), offset.tolist(), (bias * sign).tolist())


def _norms(gm: GraphModule) -> None:
    """Merge each batch norm into the layer before it, or make it an Affine."""
    calls = [str(node.target) for node in gm.graph.nodes if node.op == "call_module"]
    for node, norm in _nodes(gm, _NORMS):
        gain, offset = _norm(str(node.target), norm)
        before = node.args[0]
        assert isinstance(before, Node)
        layer = module_of(gm, before)
        if isinstance(layer, WEIGHTED) and only_user(before) is node and calls.count(str(before.target)) == 1:
            _merge(layer, gain, offset)
            _erase(gm, node)
        else:
            gain = torch.from_numpy(round_mantissa(gain.numpy(), AFFINE_MANTISSA))
            affine = Affine(gain, torch.from_numpy(on_grid(offset.numpy(), OFFSET_GRID)))
            gm.set_submodule(str(node.target), affine)


def require_statistics(name: str, norm: nn.Module) -> None:
    """Raise UnsupportedLayer for a batch norm that uses the statistics of the batch at hand."""
    if isinstance(norm, _NORMS) and (norm.running_mean is None or norm.running_var is None):
        raise UnsupportedLayer(
            f"{name}: batch norm without running statistics is not a fixed function: set track_running_stats=True"
        )


def _norm(name: str, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Gain and offset per channel of a batch norm in evaluation."""
    require_statistics(name, norm)
    assert isinstance(norm, _NORMS) and norm.running_mean is not None and norm.running_var is not None
    gain = torch.rsqrt(norm.running_var + norm.eps)
    gain = gain * norm.weight.detach() if norm.affine else gain
    beta = norm.bias.detach() if norm.affine else torch.zeros_like(gain)
    return gain, beta - norm.running_mean * gain


def _merge(layer: nn.Module, gain: Tensor, offset: Tensor) -> None:
    """layer * gain + offset as one layer: the gain's size into the scale, its sign into the integers."""
    whole, scales = integers(layer)
    wanted = np.array([float(s) for s in scales]) * np.abs(gain.numpy())
    wanted = np.broadcast_to(wanted, gain.shape)
    negligible = wanted < wanted.max() * NEGLIGIBLE  # a channel that is constant in all but name
    wanted, gain = np.where(negligible, 0.0, wanted), gain.masked_fill(torch.from_numpy(negligible), 0.0)
    snapped = np.where(wanted == 0, 1.0, round_mantissa(wanted, MERGED_MANTISSA))
    real = np.where(wanted == 0, 0.0, snapped / np.array([float(s) for s in scales]) * np.sign(gain.numpy()))
    sign = np.sign(gain.numpy()).astype(np.int64).reshape(-1, *[1] * (whole.ndim - 1))
    centre = -np.divide(offset.numpy(), gain.numpy(), out=np.zeros(len(gain)), where=gain.numpy() != 0)
    bias = layer.bias.detach().numpy() if layer.bias is not None else np.zeros(len(gain))  # type: ignore[union-attr]
    moved = np.where(gain.numpy() == 0, offset.numpy(), real * (bias - centre))
    set_weight(layer, whole * sign, fractions(snapped))
    layer.bias = nn.Parameter(torch.from_numpy(moved), requires_grad=False)


def _clips(gm: GraphModule) -> None:
    """A clip before a quantiser becomes that quantiser's range: Q(clip(x, a, b)) = clip(Q(x), Q(a), Q(b)).

    Exact for every monotone quantiser, whether or not a and b lie on its grid.
    """
    for node, clip in _nodes(gm, (nn.ReLU, nn.Hardtanh)):
        after = only_user(node)
        quantizer = module_of(gm, after) if after is not None else None
        if not isinstance(quantizer, ActivationQuantizer):
            continue
        low = 0.0 if isinstance(clip, nn.ReLU) else float(clip.min_val)  # type: ignore[arg-type]
        lowest = quantizer.quantize(Fraction(low))
        if isinstance(clip, nn.Hardtanh):
            quantizer.high = quantizer.quantize(Fraction(float(clip.max_val)))
        quantizer.low = lowest
        _erase(gm, node)


def _biases(gm: GraphModule) -> None:
    """Round biases: to the accumulator's own grid where logits leave the network, else to 2**-24."""
    for node, layer in _nodes(gm, WEIGHTED):
        if layer.bias is None:
            continue
        grid = OFFSET_GRID
        if all(user.op == "output" or (is_reshape(user) and _leaves(user)) for user in node.users):
            grid = _accumulator_grid(gm, node, layer)
        bias = on_grid(layer.bias.detach().numpy(), grid)  # type: ignore[operator]
        layer.bias = nn.Parameter(torch.from_numpy(bias), requires_grad=False)


def _leaves(node: Node) -> bool:
    return all(user.op == "output" for user in node.users)


def _accumulator_grid(gm: GraphModule, node: Node, layer: nn.Module) -> Fraction:
    """The unit of a layer's sums, if its input comes from a quantiser through pools and reshapes."""
    source = node.all_input_nodes[0]
    while role_of(gm, source) == "passive" or isinstance(module_of(gm, source), nn.ReLU):
        source = source.all_input_nodes[0]
    quantizer = module_of(gm, source)
    if not isinstance(quantizer, ActivationQuantizer | Staircase):
        return OFFSET_GRID
    return max(OFFSET_GRID, unit([quantizer.scale * scale for scale in layer.integer_scale]))  # type: ignore[union-attr]


def on_grid(values: np.ndarray, grid: Fraction) -> np.ndarray:
    """Values rounded half up to whole multiples of `grid`; those that float64 cannot shift stay as they
    are."""
    whole = np.floor(values / float(grid) + 0.5)
    return np.where(np.abs(whole) < 2.0**52, whole * float(grid), values)
