"""Beats from a list: those whose block of weights is all zero are left out."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from intaglio.hardware.memory import IntArray
from intaglio.hardware.schedules.schedule import Mask, Schedule, Steps
from intaglio.hardware.technology.prices import Prices


@dataclass(frozen=True)
class ListedSchedule(Schedule):
    """The beats that are not all zero (`ig_window_sparse`); a fold without any keeps its first."""

    name: ClassVar[str] = "listed"
    needs: ClassVar[str] = "beats whose weights are all zero"

    @classmethod
    def of(cls, blocks: IntArray) -> Self | None:
        issued: Mask = np.any(blocks != 0, axis=(2, 3))
        issued[~issued.any(axis=1), 0] = True
        return None if issued.all() else cls(issued)

    def pays(self, prices: Prices) -> bool:
        return bool(self.issued.mean() <= prices.listed_worth)

    @property
    def about(self) -> str:
        return f"the {100 * self.issued.mean():.0f} % of beats that are not zero"

    def steps(self, sizes: tuple[int, int, int]) -> Steps:
        return tuple(_places(fold, sizes) for fold in self.issued)


def _places(issued: Mask, sizes: tuple[int, int, int]) -> tuple[tuple[int, int, int], ...]:
    ky, kx, word = np.unravel_index(np.flatnonzero(issued), sizes)
    return tuple(zip(ky.tolist(), kx.tolist(), word.tolist(), strict=True))
