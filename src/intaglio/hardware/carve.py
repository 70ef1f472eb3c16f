"""How the constants of one IR operation become the stages and memories of a unit."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from intaglio.hardware.issuers import Steps, nonzero_steps
from intaglio.hardware.memory import IntArray, Memory, pack_lanes, signed_bits
from intaglio.hardware.products import INTEGER, SHIFT, FloatCode, Product, float_code, shared_shifts
from intaglio.hardware.stages import (
    LookupStage,
    MatMulStage,
    RequantizeStage,
    Stage,
    ThresholdSearchStage,
    ThresholdStage,
)
from intaglio.ir.errors import DesignError
from intaglio.ir.graph import Node
from intaglio.ir.ops import Conv2d, Lookup, MatMul, Requantize, Threshold
from intaglio.ir.types import Type

SEARCHED = (6, 255)  # numbers of thresholds that are searched; fewer are compared at once
SPARSE_WORTH = 0.75  # skip zero blocks when at most this share of the beats remains; the step table must pay


def weight_blocks(op: MatMul | Conv2d, simd: int, pe: int, order: IntArray, values: IntArray | None = None) -> IntArray:
    """Weights as the hardware reads them: (groups * folds, beats per window, pe, simd), columns in stream order.

    `values` takes the place of the weights: their codes.
    """
    weight = op.weight if values is None else values
    if isinstance(op, MatMul):
        matrix = weight[None, :, order]
    else:
        outputs = weight.shape[0] // op.groups
        matrix = weight.transpose(0, 2, 3, 1).reshape(op.groups, outputs, -1)
    groups, rows, columns = matrix.shape
    blocks = matrix.reshape(groups, rows // pe, pe, columns // simd, simd)
    return blocks.transpose(0, 1, 3, 2, 4).reshape(groups * (rows // pe), columns // simd, pe, simd)


def listed_beats(blocks: IntArray) -> npt.NDArray[np.bool_]:
    """Mask (groups * folds, beats) of the beats that are not all zero; a fold without any keeps its first."""
    mask: npt.NDArray[np.bool_] = np.any(blocks != 0, axis=(2, 3))
    mask[~mask.any(axis=1), 0] = True
    return mask


def sparse_steps(op: MatMul | Conv2d, blocks: IntArray, simd: int) -> Steps | None:
    """The beats worth issuing, per fold, or None when too few can be skipped."""
    mask = listed_beats(blocks)
    if mask.mean() > SPARSE_WORTH:
        return None
    kernel = (1, 1) if isinstance(op, MatMul) else op.weight.shape[2:]
    sizes = (kernel[0], kernel[1], mask.shape[1] // (kernel[0] * kernel[1]))
    return tuple(nonzero_steps(fold, sizes) for fold in mask)


def row_bias(excess: IntArray, skipped: npt.NDArray[np.bool_]) -> IntArray:
    """What the sums of every output channel exceed the true ones by: blocks of excess less the skipped beats."""
    return np.where(skipped[:, :, None, None], 0, excess).sum(axis=(1, 3)).ravel()


def matmul_stage(
    node: Node, form: Product, codes: IntArray, skipped: npt.NDArray[np.bool_], bias: IntArray | None, in_bits: int,
    in_signed: bool, dsp: bool, serial: bool,
) -> MatMulStage:  # fmt: skip
    """The multiply-accumulate array of `node`; blocks of codes are packed in issue order, without `skipped` beats.

    `bias` is what the form leaves in the sums, per channel.
    """
    _, _, pe, simd = codes.shape
    kept, bits, shifts = codes[~skipped], form.bits, None
    acc_bits = signed_bits(*biased(node.type.range, bias))
    if form.form == INTEGER and not dsp:
        kept, bits, shifts = shared_shifts(kept, bits, in_bits, acc_bits)
    shift_bits = 0 if shifts is None else int(shifts.max()).bit_length()
    words = pack_lanes(kept.reshape(-1, simd), bits)
    if shifts is not None:
        words = tuple(w | e << simd * bits for w, e in zip(words, shifts.ravel().tolist(), strict=True))
    width = shift_bits + simd * bits
    rows = np.array(words, dtype=object).reshape(-1, pe)
    memory = Memory("weights", pe * width, pack_lanes(rows, width))
    return MatMulStage(
        simd, pe, in_bits, in_signed, bits, acc_bits, memory, dsp and form.form in (INTEGER, SHIFT), form.form,
        form.parameters, form.latency, serial, shift_bits,
    )  # fmt: skip


def biased(span: tuple[int, int], bias: IntArray | None) -> tuple[int, int]:
    """The range of sums that exceed the true ones by a constant per channel."""
    return span if bias is None else (span[0] + min(int(bias.min()), 0), span[1] + max(int(bias.max()), 0))


def without_bias(node: Node, bias: IntArray) -> Node:
    """The Requantize or Threshold that takes sums which exceed the true ones by `bias` per channel."""
    op = node.op
    if isinstance(op, Threshold):
        return replace(node, op=replace(op, thresholds=op.thresholds + bias[:, None]))
    assert isinstance(op, Requantize)
    return replace(node, op=replace(op, offset=op.offset - op.multiplier * bias))


def subtraction(name: str, kind: Type, bias: IntArray) -> Node:
    """A Requantize that does nothing but take the bias away."""
    op = Requantize(np.array([1]), -bias, 0, *kind.range, kind.scale)
    return Node(f"{name}.bias", op, (), kind)


def elementwise_stage(
    node: Node,
    span: tuple[int, int],
    lanes: int,
    in_bits: int,
    in_signed: bool,
    channels: IntArray,
    dsp: bool,
    spare_luts: bool = False,
) -> Stage:
    """The stage of a Requantize, Threshold or Lookup; `channels[i]` is the IR channel of stream channel i."""
    op, out = node.op, node.type
    if isinstance(op, Threshold) and out.range[0] == out.range[1]:  # a unit has at least one threshold
        op = Requantize(np.array([0]), np.array([out.range[0]]), 0, *out.range, op.scale)
    if isinstance(op, Requantize):
        multiplier, offset = _per_channel(op.multiplier, op.offset, channels, lanes)
        multiplier_bits = 0 if (multiplier == 1).all() else _span(multiplier)
        offset_bits = _span(offset)
        fields = np.stack([multiplier, offset], axis=-1)
        words = tuple(_join(row, multiplier_bits, offset_bits) for row in fields.tolist())
        table = Memory("requantize", lanes * (multiplier_bits + offset_bits), words)
        return RequantizeStage(
            lanes,
            in_bits,
            in_signed,
            out.bits,
            out.signed,
            multiplier_bits,
            offset_bits,
            op.shift,
            *out.range,
            table,
            dsp,
            table.in_block_ram(spare_luts),
        )
    if isinstance(op, Threshold):
        levels, base = _levels(node, op, span, in_bits, in_signed)
        count = levels.shape[1]
        rows = np.broadcast_to(levels, (channels.size, count))[channels] if len(levels) > 1 else levels[[0] * lanes]
        if SEARCHED[0] <= count <= SEARCHED[1]:
            tables = search_tables(rows.reshape(-1, lanes, count), in_bits)
            return ThresholdSearchStage(lanes, in_bits, in_signed, count, base, out.bits, out.signed, tables)
        words = pack_lanes(rows.reshape(-1, lanes * count), in_bits + 1)
        table = Memory("thresholds", lanes * count * (in_bits + 1), words)
        return ThresholdStage(lanes, in_bits, in_signed, count, base, out.bits, out.signed, table)
    assert isinstance(op, Lookup)
    return lookup_stage(node.name, op, lanes, in_bits, in_signed, out)


def lookup_stage(
    name: str, op: Lookup, lanes: int, in_bits: int, in_signed: bool, out: Type | FloatCode
) -> LookupStage:
    """The table of a Lookup, of values of Type `out` or of their codes."""
    if len(op.table) > 1:
        raise DesignError(f"{name}: a look-up table per channel has no hardware unit; use one table")
    found = float_code(op.table[0]) if isinstance(out, FloatCode) else None
    values = op.table[0] if found is None else found[1]
    table = Memory("table", out.bits, pack_lanes(values[:, None], out.bits))
    return LookupStage(lanes, in_bits, in_signed, op.low, out.bits, out.signed, table)


def search_tables(rows: IntArray, in_bits: int) -> tuple[Memory, ...]:
    """Thresholds (words, lanes, count) as one memory per level of the search of `ig_threshold_search`."""
    words, lanes, count = rows.shape
    levels = count.bit_length()
    full = np.full((words, lanes, (1 << levels) - 1), (1 << in_bits) - 1, dtype=np.int64)
    full[:, :, :count] = rows
    tables: list[Memory] = []
    for level in range(levels):
        half = 1 << (levels - 1 - level)
        middle = full[:, :, half - 1 :: 2 * half].transpose(0, 2, 1).reshape(-1, lanes)
        tables.append(Memory("thresholds", lanes * (in_bits + 1), pack_lanes(middle, in_bits + 1)))
    return tuple(tables)


def _levels(
    node: Node, op: Threshold, span: tuple[int, int], in_bits: int, in_signed: bool
) -> tuple[IntArray, int]:
    """The thresholds that lead to outputs of the proved range, and the base that the ones below them add up to.

    `span` is the range of the inputs, to which thresholds are clipped: wider than what the range of the outputs was
    proved for where inputs exceed the true sums by constants.
    """
    low, high = span
    first, last = (end - op.base for end in node.type.range)
    kept = op.thresholds[:, first:last]
    levels = np.clip(kept, low, high + 1)
    if not in_signed and levels.max() >= 1 << in_bits:
        raise DesignError(
            f"{node.name}: a threshold of some channels lies above every input, which has no sign; "
            "use the same thresholds for all channels, or a requantize"
        )
    return levels, op.base + first


def _per_channel(multiplier: IntArray, offset: IntArray, channels: IntArray, lanes: int) -> tuple[IntArray, IntArray]:
    """Both constants as (words, lanes); a single word when all channels agree."""
    if len(multiplier) == 1 and len(offset) == 1:
        return np.repeat(multiplier, lanes)[None], np.repeat(offset, lanes)[None]
    full = [np.broadcast_to(a, (channels.size,))[channels].reshape(-1, lanes) for a in (multiplier, offset)]
    return full[0], full[1]


def _span(values: IntArray) -> int:
    return signed_bits(int(values.min()), int(values.max()))


def _join(row: list[list[int]], multiplier_bits: int, offset_bits: int) -> int:
    """One ROM word: lanes of {offset, multiplier}, the multiplier in the low bits."""
    word, shift = 0, 0
    for multiplier, offset in row:
        if multiplier_bits:
            word |= (multiplier & (1 << multiplier_bits) - 1) << shift
        word |= (offset & (1 << offset_bits) - 1) << (shift + multiplier_bits)
        shift += multiplier_bits + offset_bits
    return word
