"""Random PyTorch networks with random recipes: where the whole road is tested, from torch to cycles."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from intaglio.hardware.design import Fold
from intaglio.hardware.plan import divisors
from intaglio.ir import ops
from intaglio.ir.graph import Graph
from intaglio.methods import (
    Binary,
    BlockFloatingPoint,
    Dorefa,
    FixedPoint,
    Incremental,
    LearnedBits,
    Logarithmic,
    Method,
    Minifloat,
    MixedPrecision,
    MultiBase,
    Pact,
    Prune,
    Recipe,
    Ternary,
    TrainedTernary,
)
from intaglio.twin.layers import WEIGHTED


class RandomNetwork(nn.Module):
    """A random convolutional, residual, concatenating or dense network; `shape` is one input's shape."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.random = np.random.default_rng(seed)
        torch.manual_seed(seed)
        self.kind = str(self.random.choice(["image", "image", "image", "signal", "vector"]))
        self.shape = self._shape()
        self.blocks = nn.ModuleList()
        self.joins: list[str] = []
        shape = self.shape
        for _ in range(self.pick(1, 2, 3)):
            shape = self._block(shape)
        self.head = self._head(shape)

    def forward(self, x: Tensor) -> Tensor:
        for join, block in zip(self.joins, self.blocks, strict=True):
            y = block(x)
            x = x + y if join == "add" else torch.cat([y, x], 1) if join == "concat" else y
        return self.head(x)

    def pick(self, *choices: int) -> int:
        """One of the choices."""
        return int(self.random.choice(choices))

    def chance(self, p: float) -> bool:
        """True with probability p."""
        return bool(self.random.random() < p)

    def _shape(self) -> tuple[int, ...]:
        if self.kind == "vector":
            return (self.pick(3, 8, 12, 20),)
        channels = self.pick(1, 2, 3, 4)
        if self.kind == "signal":
            return (channels, self.pick(5, 8, 13))
        return (channels, self.pick(4, 5, 7, 8), self.pick(3, 6, 8))

    def _block(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if self.kind == "vector":
            return self._append("plain", self._dense(shape[0], self.pick(4, 5, 6, 8)), shape)
        choice = self.pick(0, 0, 1, 2, 3)
        if choice == 1:
            return self._append("plain", self._pool(shape), shape)
        if choice == 2 and self.kind == "image":
            layers = [*self._conv(shape, shape[0], same=True)]
            layers += self._conv(shape, shape[0], same=True) if self.chance(0.4) else []
            return self._append("add", nn.Sequential(*layers), shape)
        if choice == 3 and self.kind == "image":
            return self._append("concat", nn.Sequential(*self._conv(shape, self.pick(2, 4), same=True)), shape)
        return self._append("plain", nn.Sequential(*self._conv(shape)), shape)

    def _append(self, join: str, block: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
        self.joins.append(join)
        self.blocks.append(block)
        block.eval()
        with torch.no_grad():
            result = tuple(block(torch.zeros(1, *shape)).shape[1:])
        return (result[0] + shape[0], *result[1:]) if join == "concat" else result

    def _dense(self, inputs: int, outputs: int) -> nn.Module:
        layers: list[nn.Module] = [nn.Linear(inputs, outputs, bias=self.chance(0.7))]
        layers += [self._norm(nn.BatchNorm1d(outputs))] if self.chance(0.3) else []
        return nn.Sequential(*layers, *self._activation())

    def _conv(self, shape: tuple[int, ...], outputs: int | None = None, same: bool = False) -> list[nn.Module]:
        channels, sizes = shape[0], shape[1:]
        groups = self.pick(*divisors(channels)) if self.chance(0.3) else 1
        outputs = outputs or groups * self.pick(1, 2, 3, 4)
        groups = groups if outputs % groups == 0 else 1
        dilation = self.pick(1, 1, 2)
        kernel, stride, padding = (
            (3, 1, dilation) if same else (self.pick(1, 2, 3), self.pick(1, 1, 2, 3), self.pick(0, 1))
        )
        if (kernel - 1) * dilation + 1 > min(sizes) + 2 * padding:
            kernel, dilation = 1, 1
        padding = min(padding, (kernel - 1) * dilation)
        image = len(sizes) == 2
        conv = (nn.Conv2d if image else nn.Conv1d)(
            channels, outputs, kernel, stride, padding, dilation, groups, bias=self.chance(0.7)
        )
        norm = [self._norm((nn.BatchNorm2d if image else nn.BatchNorm1d)(outputs))] if self.chance(0.4) else []
        return [conv, *norm, *self._activation()]

    def _norm(self, norm: nn.Module) -> nn.Module:
        with torch.no_grad():
            norm.weight.copy_(torch.randn_like(norm.weight))
            norm.bias.copy_(torch.randn_like(norm.bias) * 0.2)
            norm.running_mean.copy_(torch.randn_like(norm.running_mean) * 0.2)
            norm.running_var.copy_(torch.rand_like(norm.running_var) + 0.2)
        return norm

    def _activation(self) -> list[nn.Module]:
        return [[nn.ReLU()], [nn.ReLU()], [nn.ReLU6()], [nn.Hardtanh()], []][self.pick(0, 1, 2, 3, 4)]

    def _pool(self, shape: tuple[int, ...]) -> nn.Module:
        kernel, stride = min(self.pick(2, 3), *shape[1:]), self.pick(1, 2, 3)
        padding = self.pick(0, kernel // 2)
        image = len(shape) == 3
        if self.chance(0.6):
            return (nn.MaxPool2d if image else nn.MaxPool1d)(kernel, stride, padding)
        return (nn.AvgPool2d if image else nn.AvgPool1d)(kernel, stride, padding)

    def _head(self, shape: tuple[int, ...]) -> nn.Module:
        if len(shape) == 1:
            return nn.Linear(shape[0], self.pick(2, 5)) if self.chance(0.5) else nn.Identity()
        if self.chance(0.3):
            return nn.Identity()
        pool = [nn.AdaptiveAvgPool2d(1)] if len(shape) == 3 and self.chance(0.3) else []
        size = shape[0] if pool else int(np.prod(shape))
        return nn.Sequential(*pool, nn.Flatten(), nn.Linear(size, self.pick(3, 6)))

    def samples(self, count: int) -> Tensor:
        """Random inputs in [0, 1], or in [-1, 1]."""
        generator = torch.Generator().manual_seed(self.pick(1, 2, 3))
        x = torch.rand(count, *self.shape, generator=generator)
        return x if self.chance(0.7) else 2 * x - 1

    def recipe(self) -> Recipe:
        """A random recipe: perhaps pruned, quantised to random widths, and often one or two other number formats."""
        sparsity = float(self.random.choice([0.0, 0.0, 0.5, 0.9]))
        formats = [self._format() for _ in range(self.pick(0, 1, 1, 2))]
        zeroless = any(isinstance(method, Binary | MultiBase | Dorefa) for method in formats)
        prune = [Prune(sparsity=sparsity)] if sparsity and not zeroless else []
        return Recipe(*prune, self._fixed_point(), *formats)

    def _fixed_point(self) -> FixedPoint:
        weight_bits, activation_bits = self.pick(2, 3, 4, 6, 8, 12, 16), self.pick(2, 3, 4, 6, 8, 12, 16)
        return FixedPoint(
            weight_bits=weight_bits,
            activation_bits=activation_bits,
            per_channel=self.chance(0.5),
            weight_scale="dyadic" if self.chance(0.3) else "power_of_two",
            input_bits=self.pick(1, 4, 8),
            activation_scale="dyadic" if self.chance(0.2) else "power_of_two",
            calibration="minmax",
        )

    def _format(self) -> Method:
        """One of the number formats with random knobs, on all layers or those of one kind."""
        layers = [name for name, module in self.named_modules() if isinstance(module, WEIGHTED)]
        select = str(self.random.choice(layers)) if layers and self.chance(0.4) else "*"
        some = self.chance(0.5)
        makers: list[Callable[[], Method]] = [
            lambda: Binary(select=select, activations=some, scale="channel"),
            lambda: Ternary(select=select, scale="layer" if some else "channel"),
            lambda: TrainedTernary(select=select, scale_bits=self.pick(2, 4)),
            lambda: MultiBase(select=select, bases=self.pick(1, 2, 3), activation_bases=2 * some),
            lambda: Logarithmic(select=select, bits=self.pick(3, 4), base="sqrt2" if some else 2,
                                activation_bits=[None, 3, 4][self.pick(0, 1, 2)]),
            lambda: Minifloat(select=select, weights=["E2M1", "E3M2", "E4M3"][self.pick(0, 1, 2)],
                              activations="E3M2" if some else None),
            lambda: BlockFloatingPoint(select=select, block=self.pick(1, 2, 4), weight_mantissa=self.pick(3, 5),
                                       activation_mantissa=4 if some else None),
            lambda: Dorefa(select=select, weight_bits=self.pick(1, 2, 3), activation_bits=self.pick(1, 2, 4)),
            lambda: Pact(select=select, bits=self.pick(1, 2, 4)),
            lambda: LearnedBits(select=select, granularity=["layer", "channel", "weight"][self.pick(0, 1, 2)]),
            lambda: Incremental(select=select, bits=self.pick(3, 4, 5)),
            lambda: MixedPrecision(select=select, average_bits=3.5, average_activation_bits=4.0 if some else None),
        ]  # fmt: skip
        return makers[self.pick(*range(len(makers)))]()

    def folding(self, graph: Graph) -> dict[str, Fold]:
        """A random folding of the lowered network."""
        folds: dict[str, Fold] = {}
        for node in graph.nodes:
            if isinstance(node.op, ops.MatMul | ops.Conv2d):
                inputs, outputs = node.op.weight.shape[1], node.op.weight.shape[0] // getattr(node.op, "groups", 1)
                simd, pe = self.pick(*divisors(inputs)), self.pick(*divisors(outputs))
                folds[node.name] = Fold(simd, pe, self.chance(0.15))
            elif isinstance(node.op, ops.MaxPool | ops.SumPool):
                folds[node.name] = Fold(self.pick(*divisors(node.type.shape[0])))
        return folds
