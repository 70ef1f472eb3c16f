"""MNIST from the four official IDX files."""

import os
from pathlib import Path

import numpy as np
import torch

from intaglio.datasets.dataset import Dataset, Split, split_off
from intaglio.datasets.idx import read_idx
from intaglio.ir.errors import DataError


def data_folder() -> Path:
    """The folder of data sets: INTAGLIO_DATA, or `../shared/data` beside the working directory."""
    return Path(os.environ.get("INTAGLIO_DATA", "../shared/data"))


def mnist(folder: Path | str | None = None, seed: int = 0) -> Dataset:
    """Images (1, 28, 28) as x/255 in [0, 1]: 55,000 for training, 5,000 for validation, 10,000 for the test.

    `folder` holds train-images-idx3-ubyte and so on, with or without .gz; the default is `mnist` in the
    data folder. The seed draws the validation images from the training file.

    Raises:
        DataError: a file is missing, damaged, or of the wrong shape.
    """
    folder = data_folder() / "mnist" if folder is None else Path(folder)
    x, y = _pair(folder, "train")
    train, val = split_off(x, y, min(5000, len(x) // 12), seed)
    return Dataset("mnist", train, val, Split(*_pair(folder, "t10k")), classes=10)


def _pair(folder: Path, part: str) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = (read_idx(_find(folder, f"{part}-{name}")) for name in ("images-idx3-ubyte", "labels-idx1-ubyte"))
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise DataError(f"{folder}: {part} images {images.shape} and labels {labels.shape} do not belong together")
    if images.dtype != np.uint8 or labels.dtype != np.uint8 or labels.max() > 9:
        raise DataError(
            f"{folder}: {part} images of {images.dtype}, labels of {labels.dtype} up to {labels.max()}: "
            "MNIST has bytes and labels from 0 to 9"
        )
    return torch.from_numpy(images).unsqueeze(1).float().div(255), torch.from_numpy(labels).long()


def _find(folder: Path, name: str) -> Path:
    packed = folder / f"{name}.gz"
    return packed if packed.exists() else folder / name
