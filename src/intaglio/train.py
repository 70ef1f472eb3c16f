"""The default training loop: seeded, resumable, open to the methods' losses and schedules.

A network from `Recipe.apply` is an ordinary module, so any other loop does as well: add `method.loss(...)`
to the loss, call `method.step(model, progress)` before each step and once with 1.0 at the end.
"""

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from intaglio.files import atomic
from intaglio.ir.errors import DataError, IntaglioError, RangeError
from intaglio.twin.layers import evaluating
from intaglio.twin.method import Method
from intaglio.twin.network import Network
from intaglio.twin.prepare import inside
from intaglio.twin.quantizers import Grid, WeightGrid

Callback = Callable[[int, dict[str, float]], None]
"""Called after each epoch with its number (from 1) and its record: loss, lr, and top1 on the validation
split."""

Step = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""The loss of a batch, in place of cross entropy."""

Augment = Callable[[Tensor, torch.Generator], Tensor]
"""Random changes to a batch of inputs, drawn from the generator."""


class Split(Protocol):
    """Inputs (N, ...) float32 and labels (N,) int64."""

    @property
    def x(self) -> Tensor: ...
    @property
    def y(self) -> Tensor: ...


class Data(Protocol):
    """What `fit` reads: a training split, and a validation split for the record of each epoch."""

    @property
    def train(self) -> Split: ...
    @property
    def val(self) -> Split: ...


@dataclass(frozen=True)
class Settings:
    """What determines a training run; a checkpoint of other settings is refused."""

    epochs: int
    lr: float
    seed: int = 0
    batch: int = 128
    optimizer: Literal["adam", "sgd"] = "adam"
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: Literal["cosine", "constant"] = "cosine"
    settle: float = 0.1


def fit(
    model: nn.Module,
    data: Data,
    epochs: int,
    lr: float,
    *,
    seed: int = 0,
    batch: int = 128,
    optimizer: Literal["adam", "sgd"] = "adam",
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    schedule: Literal["cosine", "constant"] = "cosine",
    settle: float = 0.1,
    methods: Iterable[Method] = (),
    callbacks: Sequence[Callback] = (),
    checkpoint: Path | str | None = None,
    progress: bool = False,
    step: Step | None = None,
    augment: Augment | None = None,
) -> list[dict[str, float]]:
    """Train `model` in place and return one record per epoch: loss, lr, top1 on `data.val` in per cent.

    With `checkpoint` (a folder) the state is saved after every epoch, and a run that was killed continues
    from there to the same result: every epoch draws its random numbers from (seed, epoch) alone. Weight
    decay leaves quantiser scales alone. For the last share `settle` of the training a quantised network trains as its
    hardware computes: batch norms keep their running statistics, and every rounding of theirs and of biases acts.

    Raises:
        RangeError: the loss became NaN or infinite; DataError: no samples, or a checkpoint of another run.
    """
    settings = Settings(epochs, lr, seed, batch, optimizer, momentum, weight_decay, schedule, settle)
    if not len(data.train.x):
        raise DataError("the training split is empty")
    run = _Run(model, settings, tuple(methods), step or _cross_entropy, augment)
    store = None if checkpoint is None else Checkpoint(Path(checkpoint))
    if store is not None:
        run.load(store.read())
    with torch.random.fork_rng(devices=[]), _bar(progress) as bar:
        task = bar.add_task("training", total=epochs, completed=len(run.history), loss=math.nan)
        while len(run.history) < epochs:
            record = run.epoch(data)
            if store is not None:
                store.write(run.state())
            bar.update(task, advance=1, loss=record["loss"])
            for callback in callbacks:
                callback(len(run.history), record)
    for method in run.methods:
        method.step(model, 1.0)
    run.settle(False)
    model.eval()
    return run.history


@torch.no_grad()
def evaluate(model: nn.Module, x: Tensor, y: Tensor, batch: int = 1000) -> float:
    """Top-1 accuracy in per cent, in evaluation mode and in the dtype of the model's parameters.

    Raises:
        DataError: no samples, or as many labels as inputs are not given.
    """
    if not len(x) or len(x) != len(y):
        raise DataError(f"{len(x)} inputs and {len(y)} labels: give as many labels as inputs, at least one")
    dtype = next((p.dtype for p in model.parameters()), x.dtype)
    with evaluating(model):
        right = sum(
            int((model(a.to(dtype)).argmax(1) == b).sum()) for a, b in zip(x.split(batch), y.split(batch), strict=True)
        )
    return 100.0 * right / len(y)


def distilled(teacher: nn.Module, share: float = 0.5, temperature: float = 4.0) -> Step:
    """The loss of Hinton et al. (2015, section 2) as `step` of `fit`: learn from labels and from a trained network.

    (1 - share) CE(logits, labels) + share T^2 KL(softmax(teacher / T) || softmax(logits / T)). The teacher sees the
    same augmented inputs, in evaluation mode and in its own dtype, and is not changed.

    Raises:
        RangeError: `share` outside [0, 1], or a temperature that is not positive.
    """
    if not 0 <= share <= 1 or not temperature > 0:
        raise RangeError(f"share = {share:g} and temperature = {temperature:g}; share lies in [0, 1], temperature > 0")
    teacher = copy.deepcopy(teacher).eval()
    dtype = next((p.dtype for p in teacher.parameters()), torch.float32)

    def step(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = teacher(x.to(dtype)).div(temperature)
        logits = model(x)
        kl = F.kl_div(
            F.log_softmax(logits / temperature, 1),
            F.log_softmax(wanted, 1).to(logits),
            reduction="batchmean",
            log_target=True,
        )
        return (1 - share) * F.cross_entropy(logits, y) + share * temperature**2 * kl

    return step


def _cross_entropy(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(model(x), y)


class _Run:
    """The state of a training run."""

    def __init__(
        self,
        model: nn.Module,
        settings: Settings,
        methods: tuple[Method, ...],
        step: Step,
        augment: Augment | None,
    ) -> None:
        self.model, self.settings, self.methods = model, settings, methods
        self.step, self.augment = step, augment
        self.optimizer = _optimizer(model, settings)
        self.history: list[dict[str, float]] = []

    def epoch(self, data: Data) -> dict[str, float]:
        """One pass over the training split, in an order drawn from (seed, epoch)."""
        number, s = len(self.history), self.settings
        seed = (s.seed * 1_000_003 + number) % 2**63
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        x, y = data.train.x, data.train.y
        order = torch.randperm(len(x), generator=generator)
        parts = order.split(s.batch)
        self.model.train()
        total = 0.0
        for i, part in enumerate(parts):
            inputs = x[part]
            if self.augment is not None:
                inputs = self.augment(inputs, generator)
            total += self._batch(inputs, y[part], (number + i / len(parts)) / s.epochs) * len(part)
        record = {"loss": total / len(x), "lr": self.optimizer.param_groups[0]["lr"]}
        if len(data.val.x):
            record["top1"] = evaluate(self.model, data.val.x, data.val.y)
        self.history.append(record)
        return record

    def _batch(self, x: Tensor, y: Tensor, progress: float) -> float:
        """One optimiser step; the loss."""
        self.settle(progress >= 1 - self.settings.settle)
        for method in self.methods:
            method.step(self.model, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr * self._factor(progress)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.step(self.model, x, y)
        for method in self.methods:
            loss = loss + method.loss(self.model, x, y)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise RangeError(
                f"the loss is {value} after {progress:.1%} of the training; lower lr = {self.settings.lr:g}"
            )
        loss.backward()
        self.optimizer.step()
        return value

    def settle(self, settled: bool) -> None:
        """Let a quantised network train as it is written, or as its hardware computes."""
        network = inside(self.model)
        if isinstance(network, Network):
            network.settled = settled

    def _factor(self, progress: float) -> float:
        return 0.5 * (1 + math.cos(math.pi * progress)) if self.settings.schedule == "cosine" else 1.0

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on."""
        return {
            "settings": asdict(self.settings),
            "history": self.history,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load(self, state: dict[str, Any] | None) -> None:
        """Continue from a saved state."""
        if state is None:
            return
        wanted = asdict(self.settings)
        settings, history = _read_state(state)
        for key, value in settings.items():
            if wanted.get(key) != value:
                raise DataError(
                    f"the checkpoint was made with {key} = {value}, this run has {key} = {wanted.get(key)}; "
                    f"delete it to start again"
                )
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise DataError(f"the checkpoint is of another network: {error}; delete it to start again") from error
        self.history = history


def _read_state(state: Any) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """Settings and history of a saved state; DataError where they are something else."""
    try:
        settings, history = dict(state["settings"]), [dict(record) for record in state["history"]]
        if all(isinstance(value, float) for record in history for value in record.values()):
            return settings, history
    except (LookupError, TypeError, ValueError):
        pass
    raise DataError("the checkpoint holds no settings and records of epochs; delete it to start again")


def _optimizer(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """Adam or SGD with momentum; scales and levels of quantisers form a group without weight decay."""
    quantizers = [m for m in model.modules() if isinstance(m, Grid | WeightGrid)]
    grids = {id(parameter) for module in quantizers for parameter in module.parameters()}
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if id(p) not in grids], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if id(p) in grids], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if settings.optimizer == "adam":
        return torch.optim.Adam(groups, lr=settings.lr)
    return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum)


class Checkpoint:
    """One file in a folder, replaced atomically: a kill at any time leaves the old or the new state."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "checkpoint.pt"

    def read(self) -> dict[str, Any] | None:
        """The saved state, or None when there is none."""
        if not self.path.exists():
            return None
        try:
            return torch.load(self.path, weights_only=True)
        except Exception as error:
            raise DataError(f"{self.path} is not a checkpoint ({error}); delete it to start again") from error

    def write(self, state: dict[str, Any]) -> None:
        """Save a state: write beside, flush to the disk, then replace. DataError where that is not possible."""
        try:
            with atomic(self.path) as file:
                torch.save(state, file)
        except (OSError, RuntimeError, IntaglioError) as error:  # torch wraps what goes wrong in a RuntimeError
            raise DataError(
                f"{self.path} cannot be written ({str(error).partition(chr(10))[0]}): is the disk full? Make room "
                "and run the same command again; training goes on from the last epoch that was saved"
            ) from error


def _bar(shown: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
        TimeRemainingColumn(),
        disable=not shown,
    )


def save_weights(model: nn.Module, path: Path | str) -> None:
    """Write parameters and buffers (masks and scales too) as safetensors."""
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}
    save_file(tensors, str(path))


def load_weights(model: nn.Module, path: Path | str) -> nn.Module:
    """Read what `save_weights` wrote into `model` and return it.

    A quantised network is first made again: `Recipe.apply` on a fresh network with any data, then this.

    Raises:
        DataError: the file cannot be read, or is of another network or recipe.
    """
    try:
        model.load_state_dict(load_file(str(path)))
    except Exception as error:
        raise DataError(
            f"{path}: does not hold this network's weights ({error}); apply the same recipe first"
        ) from error
    return model
