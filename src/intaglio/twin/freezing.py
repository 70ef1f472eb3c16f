"""What freezing changes: the network as its layers are written beside what the hardware computes."""

import copy
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from intaglio.twin.form import Form
from intaglio.twin.layers import Inputs, several
from intaglio.twin.network import Network
from intaglio.twin.trace import trace


@dataclass(frozen=True)
class Freezing:
    """`deviation`: the largest change of an output, in per cent of the largest output of the network as written.

    `class_changes`: inputs of `samples` whose largest output is another one. Of several outputs the worst counts.
    """

    deviation: float
    class_changes: int
    samples: int


@torch.no_grad()
def freezing(model: nn.Module, x: Inputs, batch: int = 256) -> Freezing:
    """Compare both readings of a quantised network in float64, over all inputs `x` (N, ...).

    As written, batch norms and averages are floating point and biases are not rounded; weights and activations are
    quantised in both.
    """
    gm = trace(copy.deepcopy(model)).double().eval()
    assert isinstance(gm, Network)
    form = Form(gm)
    plain: Any = gm.plain
    found: dict[int, _Change] = defaultdict(_Change)
    for parts in zip(*(some.split(batch) for some in several(x)), strict=True):
        written, exact = plain(*(part.double() for part in parts)), form.run(*parts, dtype=torch.float64)
        for number, pair in enumerate(zip(_rows(written), _rows(exact), strict=True)):
            found[number].see(*pair)
    worst = max(change.deviation for change in found.values())
    return Freezing(worst, max(change.classes for change in found.values()), len(several(x)[0]))


@dataclass
class _Change:
    """What freezing does to one output: `change` and `largest` value, and in how many rows another is largest."""

    change: float = 0.0
    largest: float = 0.0
    classes: int = 0

    def see(self, written: Tensor, exact: Tensor) -> None:
        """Look at more rows."""
        self.change = max(self.change, float((written - exact).abs().max()))
        self.largest = max(self.largest, float(written.abs().max()))
        self.classes += int((written.argmax(1) != exact.argmax(1)).sum()) if written.shape[1] > 1 else 0

    @property
    def deviation(self) -> float:
        """The change in per cent of the largest value."""
        return 100 * self.change / self.largest if self.largest else 0.0


def _rows(outputs: Tensor | tuple[Tensor, ...] | list[Tensor]) -> list[Tensor]:
    """Every output, one row for each input."""
    return [some.reshape(len(some), -1) for some in (outputs if isinstance(outputs, tuple | list) else (outputs,))]
