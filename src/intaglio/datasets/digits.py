"""UCI digits: 1,797 images of 8x8 with 17 grey levels, from scikit-learn; needs no download."""

import torch
from sklearn.datasets import load_digits

from intaglio.datasets.dataset import Dataset, split_off


def digits(seed: int = 0) -> Dataset:
    """Images (1, 8, 8) as x/16 in [0, 1]: 1,077 for training, 360 for validation, 360 for the test.

    The test images are always the same; the seed only draws the validation images from the rest.
    """
    loaded = load_digits()
    x = torch.from_numpy(loaded.images).float().div(16).unsqueeze(1)  # type: ignore[union-attr]
    y = torch.from_numpy(loaded.target).long()  # type: ignore[union-attr]
    rest, test = split_off(x, y, 360, seed=20191)
    train, val = split_off(rest.x, rest.y, 360, seed=seed)
    return Dataset("digits", train, val, test, classes=10)
