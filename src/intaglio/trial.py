"""What can become hardware is known before any training: a network is quantised and lowered on trial."""

import copy

from torch import Tensor, nn

from intaglio.twin.exact import require_statistics
from intaglio.twin.lower import lower, shapes_of
from intaglio.twin.quantise import on_trial
from intaglio.twin.quantizers import ActivationQuantizer
from intaglio.twin.trace import trace

TRIAL_BITS = 8


def check(model: nn.Module, example: Tensor) -> None:
    """Raise what `lower` would raise, before any training: quantises a copy of a float network for the trial.

    Takes about as long as one forward pass and one lowering. `Recipe.apply` asks the same of its calibration data.
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
    """Quantise a copy, and lower it."""
    copied = copy.deepcopy(model)
    for name, module in copied.named_modules():
        require_statistics(name, module)
    shapes_of(trace(copied).eval(), example)
    if not any(isinstance(module, ActivationQuantizer) for module in copied.modules()):
        copied = on_trial(copied, example, TRIAL_BITS)
    lower(copied, example)
