"""Sums of products over windows: how the golden model convolves, without a copy per tap where there is a way.

Images are (C, H, W, N) and padded, batch last. Each form computes the same integers in the dtype of the image;
partial sums are added in an order of its own, which changes nothing where the dtype is exact.
"""

import numpy as np
from numpy.lib.stride_tricks import as_strided

from intaglio.ir.types import Array
from intaglio.ir.window import Window


def dense(image: Array, weight: Array, window: Window) -> Array:
    """(O, OH, OW, N): one group. weight (P, O, K) of `dense_weight`.

    Copies shift the image by the taps of a row of the kernel alone; the rows are views of these copies. Each row is
    one matrix product, or all rows are (see `by_rows`).
    """
    outputs = window.outputs(image)
    rows, columns = window.slices(outputs, 0), window.slices(outputs, 1)
    shifted = _shifted(image, columns)
    parts = [shifted[:, :, row] for row in rows]
    if len(weight) == 1 and len(parts) > 1:
        parts = [np.stack(parts)]
    matrices = [part.reshape(weight.shape[2], -1) for part in parts]
    total = np.matmul(weight[0], matrices[0])
    product = np.empty_like(total) if len(matrices) > 1 else total
    for row, matrix in zip(weight[1:], matrices[1:], strict=True):
        total += np.matmul(row, matrix, out=product)
    return total.reshape(len(total), *outputs, image.shape[3])


def dense_weight(weight: Array) -> Array:
    """(O, C, kh, kw) as (P, O, K) in the order that `dense` multiplies: P rows of the kernel, or one part of all."""
    rows = weight.transpose(2, 0, 3, 1)
    if not by_rows(weight):
        rows = rows.transpose(1, 0, 2, 3)[None]
    parts = len(rows)
    return np.ascontiguousarray(rows).reshape(parts, len(weight), -1)


def by_rows(weight: Array) -> bool:
    """Whether adding up a product per row of the kernel costs less than copying its input once more."""
    outputs, channels, _, columns = weight.shape
    return channels * columns >= 2 * outputs


def _shifted(image: Array, columns: list[slice]) -> Array:
    """(kw, C, H, OW, N): the columns that each tap of a kernel's row visits; a view where there is one tap."""
    if len(columns) == 1:
        return image[None, :, :, columns[0]]
    first = image[:, :, columns[0]]
    shifted = np.empty((len(columns), *first.shape), dtype=image.dtype)
    for copy, column in zip(shifted, columns, strict=True):
        copy[...] = image[:, :, column]
    return shifted


def grouped(image: Array, weight: Array, window: Window) -> Array:
    """(G * O, OH, OW, N): weight (G, O, K), every tap of every window copied."""
    outputs = window.outputs(image)
    rows, columns = window.slices(outputs, 0), window.slices(outputs, 1)
    taps = np.empty((image.shape[0], *window.kernel, *outputs, image.shape[3]), dtype=image.dtype)
    for j, row in enumerate(rows):
        for i, column in enumerate(columns):
            taps[:, j, i] = image[:, row, column]
    result = np.matmul(weight, taps.reshape(len(weight), weight.shape[2], -1))
    return result.reshape(-1, *outputs, image.shape[3])


def depthwise(image: Array, weight: Array, window: Window) -> Array:
    """(C * O, OH, OW, N): weight (C, O, kh, kw). No copy of a tap: rows run into each other.

    A tap is the flat image moved on, of a length that covers the outputs and, between two of their rows, sums that
    nobody reads. Strides pick from the outputs of stride one.
    """
    image = np.ascontiguousarray(image)
    channels, height, width, batch = image.shape
    (down, across), (kernel_rows, kernel_columns) = window.dilation, window.kernel
    rows, columns = height - window.extent[0] + 1, width - window.extent[1] + 1
    length = ((rows - 1) * width + columns) * batch
    item = image.itemsize
    steps = (height * width * batch * item, down * width * batch * item, across * batch * item, item)
    taps = as_strided(image, (channels, kernel_rows, kernel_columns, length), steps, writeable=False)
    sums = np.empty((channels, weight.shape[1], rows * width * batch), dtype=image.dtype)
    _accumulate(weight, taps, sums[:, :, :length])
    whole = sums.reshape(-1, rows, width, batch)
    return whole[:, :: window.stride[0], : columns : window.stride[1]]


def _accumulate(weight: Array, taps: Array, sums: Array) -> None:
    """sums[c, o] = sum_{j, i} weight[c, o, j, i] * taps[c, j, i]; einsum adds up along the last axis where it is long.

    Which axis it takes for the last it sees by the strides, and with a batch of one those of `i` are those of the
    image itself: then every column of the kernel is a sum of its own.
    """
    for output in range(weight.shape[1]):
        kernel, total = weight[:, output], sums[:, output]
        if taps.strides[2] > taps.strides[3]:
            np.einsum("cji,cjil->cl", kernel, taps, out=total)
            continue
        np.einsum("cj,cjl->cl", kernel[:, :, 0], taps[:, :, 0], out=total)
        for i in range(1, kernel.shape[2]):
            total += np.einsum("cj,cjl->cl", kernel[:, :, i], taps[:, :, i])
