"""What a schedule is: which beats of a layer's weights are issued."""

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt

from intaglio.hardware.memory import IntArray
from intaglio.hardware.plan_part import PlanPart
from intaglio.hardware.technology.prices import Prices

Mask = npt.NDArray[np.bool_]
Steps = tuple[tuple[tuple[int, int, int], ...], ...]


@dataclass(frozen=True)
class Schedule(PlanPart):
    """`issued` (groups * folds, beats) says which beats a window issues, in order."""

    issued: Mask = field(repr=False)

    @classmethod
    @abstractmethod
    def of(cls, blocks: IntArray) -> Self | None:
        """The schedule of weights in blocks (groups * folds, beats, pe, simd); None where they lack what it needs."""

    def pays(self, prices: Prices) -> bool:
        """Whether it is worth what it costs."""
        del prices
        return True

    @property
    @abstractmethod
    def about(self) -> str:
        """For people."""

    @property
    def beats(self) -> int:
        """Beats of a window, over all groups and folds."""
        return int(self.issued.sum())

    @property
    def every(self) -> bool:
        """Whether no beat is left out."""
        return bool(self.issued.all())

    def steps(self, sizes: tuple[int, int, int]) -> Steps | None:
        """The beats (ky, kx, word) of every group and fold, for windows that read them from a list; None without one.

        sizes: kernel and words per pixel.
        """
        del sizes
        return None
