"""What freezing changes: the network as its layers are written beside what the hardware computes."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from intaglio.twin.form import Form
from intaglio.twin.network import Network
from intaglio.twin.trace import trace


@dataclass(frozen=True)
class Freezing:
    """`deviation`: the largest change of an output, in per cent of the largest output of the network as written.

    `class_changes`: inputs of `samples` whose largest output is another one.
    """

    deviation: float
    class_changes: int
    samples: int


@torch.no_grad()
def freezing(model: nn.Module, x: Tensor, batch: int = 256) -> Freezing:
    """Compare both readings of a quantised network in float64, over all inputs `x` (N, ...).

    As written, batch norms and averages are floating point and biases are not rounded; weights and activations are
    quantised in both.
    """
    gm = trace(copy.deepcopy(model)).double().eval()
    assert isinstance(gm, Network)
    form = Form(gm)
    change = largest = 0.0
    classes = 0
    for part in x.split(batch):
        written, exact = _first(gm.plain(part.double())), _first(form.run(part, dtype=torch.float64))  # type: ignore[operator]
        change = max(change, float((written - exact).abs().max()))
        largest = max(largest, float(written.abs().max()))
        classes += int((written.argmax(1) != exact.argmax(1)).sum()) if written.shape[1] > 1 else 0
    return Freezing(100 * change / largest if largest else 0.0, classes, len(x))


def _first(outputs: Tensor | tuple[Tensor, ...] | list[Tensor]) -> Tensor:
    """The first output, one row for each input."""
    first = outputs if isinstance(outputs, Tensor) else outputs[0]
    return first.reshape(len(first), -1)
