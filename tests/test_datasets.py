"""Data sets: splits, and files that are not what they should be."""

import gzip
import struct

import numpy as np
import pytest
import torch

from intaglio.datasets import Split, digits, mnist, read_idx, shifted
from intaglio.ir.errors import DataError


def idx(array: np.ndarray) -> bytes:
    return (
        bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()
    )


def test_digits():
    data = digits()
    assert [len(split) for split in (data.train, data.val, data.test)] == [1077, 360, 360]
    assert (
        data.train.x.shape[1:] == (1, 8, 8)
        and data.train.x.dtype == torch.float32
        and data.train.y.dtype == torch.int64
    )
    assert float(data.train.x.max()) == 1 and float(data.train.x.min()) == 0
    other = digits(seed=1)
    assert torch.equal(other.test.x, data.test.x) and not torch.equal(other.val.x, data.val.x)
    together = torch.cat([s.x for s in (data.train, data.val, data.test)]).flatten(1)
    assert float(together.sum()) == pytest.approx(
        float(torch.cat([s.x for s in (other.train, other.val, other.test)]).sum())
    )


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx(tmp_path, pack):
    array = np.arange(24).reshape(2, 3, 4)
    path = tmp_path / "a"
    path.write_bytes(pack(idx(array)))
    assert np.array_equal(read_idx(path), array)


@pytest.mark.parametrize(("damage", "words"), [
    (lambda raw: raw[:-5], r"expected 40 bytes.*found 35"),
    (lambda raw: raw + b"x", r"expected 40 bytes.*found 41"),
    (lambda raw: raw[:9], r"expected 16 bytes of header, found 9"),
    (lambda raw: b"", r"not an IDX file"),
    (lambda raw: b"<html>", r"not an IDX file"),
    (lambda raw: raw[:2] + b"\x07" + raw[3:], r"not an IDX file"),
    (lambda raw: gzip.compress(raw)[:-12], r"gzip.*truncated at"),
])  # fmt: skip
def test_damaged_idx(tmp_path, damage, words):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(damage(idx(np.zeros((2, 3, 4)))))
    with pytest.raises(DataError, match=words) as error:
        read_idx(path)
    assert str(path) in str(error.value)


def test_mnist_folder(tmp_path, monkeypatch):
    folder = tmp_path / "mnist"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for part, count in (("train", 24), ("t10k", 5)):
        images, labels = rng.integers(0, 256, (count, 28, 28)), rng.integers(0, 10, count)
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
    monkeypatch.setenv("INTAGLIO_DATA", str(tmp_path))
    data = mnist()
    assert [len(split) for split in (data.train, data.val, data.test)] == [22, 2, 5]
    assert torch.equal(data.test.y, torch.from_numpy(labels)) and data.train.x.shape == (22, 1, 28, 28)
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(labels[:4]))
    with pytest.raises(DataError, match="do not belong together"):
        mnist()
    with pytest.raises(DataError, match="INTAGLIO_DATA"):
        mnist(tmp_path / "nowhere")


def test_split_lengths():
    with pytest.raises(DataError, match="3 inputs but 2 labels"):
        Split(torch.zeros(3, 1), torch.zeros(2))


def test_shifted_moves_images():
    x = torch.zeros(64, 1, 7, 7)
    x[:, :, 3, 3] = 1
    y = shifted(1)(x, torch.Generator().manual_seed(0))
    assert y.shape == x.shape and torch.equal(y.sum((1, 2, 3)), torch.ones(64))
    places = {int(i) for i in y.flatten(1).argmax(1)}
    assert len(places) > 3 and all(abs(p // 7 - 3) <= 1 and abs(p % 7 - 3) <= 1 for p in places)
