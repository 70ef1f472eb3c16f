"""What can become hardware is known before any training: a network is quantised, lowered and carved on trial."""

import copy

from torch import Tensor, nn

from intaglio.hardware.carver import Carver
from intaglio.hardware.emit import require_parameters
from intaglio.ir import ops
from intaglio.ir.errors import DesignError, IntaglioError, ShapeError
from intaglio.ir.graph import Graph
from intaglio.twin import replacements as use
from intaglio.twin.lower import lower, shapes_of
from intaglio.twin.quantise import on_trial
from intaglio.twin.quantizers import ActivationQuantizer
from intaglio.twin.refuse import located, refusal, require_one_stream, require_sizes
from intaglio.twin.trace import trace

TRIAL_BITS = 8

IN_THE_NETWORK = {
    ops.Concat: use.SUM_PARTS, ops.Reshape: use.KEEP_VECTOR, ops.Pad: use.PADDED_LAYER, ops.ArgMax: use.VECTOR,
}  # fmt: skip
"""What to write instead of operations that hardware lacks a form for at the place where they stand."""


def check(model: nn.Module, example: Tensor) -> None:
    """Raise what `lower` and the default carving would raise, before any training: tries a quantised copy.

    Takes about as long as a few forward passes, one lowering and one carving without sizes of FIFOs. `Recipe.apply`
    asks the same of its calibration data.
    """
    checked(model, example)


def checked(model: nn.Module, example: Tensor) -> nn.Module:
    """A copy of `model` that can become hardware for inputs like `example` (N, ...): what methods may change.

    Raises:
        IntaglioError: as `check`.
    """
    _try(model, example)
    return copy.deepcopy(model)


def _try(model: nn.Module, example: Tensor) -> None:
    """Quantise a copy, lower it and carve it."""
    require_sizes(model)
    copied = copy.deepcopy(model)
    traced = trace(copied).eval()
    require_one_stream(traced)
    example = _tensor(example)
    shapes_of(traced, example)
    if not any(isinstance(module, ActivationQuantizer) for module in copied.modules()):
        copied = on_trial(copied, example, TRIAL_BITS)
    try:
        carve_on_trial(lower(copied, example))
    except IntaglioError as error:
        raise located(error, traced) from error


def _tensor(example: Tensor | tuple[Tensor, ...]) -> Tensor:
    """The one tensor of an example, which may stand in a tuple."""
    example = example[0] if isinstance(example, tuple | list) and len(example) == 1 else example
    if not isinstance(example, Tensor):
        raise ShapeError(f"the example is a {type(example).__name__}; give one tensor, (samples, ...)")
    return example


def carve_on_trial(graph: Graph) -> None:
    """Raise DesignError where the default carving has no hardware for a Graph; sizes no FIFO.

    Where the remedy lies in the network, the message says it in its words.
    """
    carver = Carver(graph, {}, dsp=True, spare_luts=False)
    try:
        carver.carve()
        require_parameters(carver.units, tuple(carver.streams))
    except DesignError as error:
        name, _, problem = str(error).partition(": ")
        op = next((type(node.op) for node in graph.nodes if node.name == name), None)
        remedy = IN_THE_NETWORK.get(op) if op is not None else None
        if remedy is None:
            raise
        raise refusal(name, problem.partition(";")[0], remedy) from error
