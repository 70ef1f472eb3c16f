"""Every beat, in order: no list is stored."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from intaglio.hardware.memory import IntArray
from intaglio.hardware.schedules.schedule import Schedule


@dataclass(frozen=True)
class DenseSchedule(Schedule):
    """All beats, counted by the window itself."""

    name: ClassVar[str] = "dense"
    needs: ClassVar[str] = "nothing"

    @classmethod
    def of(cls, blocks: IntArray) -> Self:
        return cls.over(*blocks.shape[:2])

    @classmethod
    def over(cls, folds: int, beats: int) -> Self:
        """All of so many beats, of so many groups and folds."""
        return cls(np.ones((folds, beats), dtype=np.bool_))

    @property
    def about(self) -> str:
        return "every beat"
