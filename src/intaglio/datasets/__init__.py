"""Data sets: one reader per file, listed in DATASETS by the names that recipes use."""

from collections.abc import Callable

from intaglio.datasets.augment import shifted
from intaglio.datasets.dataset import Dataset, Split
from intaglio.datasets.digits import digits
from intaglio.datasets.idx import read_idx
from intaglio.datasets.mnist import mnist

DATASETS: dict[str, Callable[..., Dataset]] = {"digits": digits, "mnist": mnist}

__all__ = ["DATASETS", "Dataset", "Split", "digits", "mnist", "read_idx", "shifted"]
