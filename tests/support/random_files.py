"""Random QONNX files: what a Brevitas network of convolutions, norms, pools and quantisers may look like."""

from fractions import Fraction
from pathlib import Path

import numpy as np
from onnx import TensorProto

from intaglio.ir import Type
from tests.support.onnx_models import OLD, QONNX, Model

MODES = ("ROUND", "HALF_EVEN", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN")


class RandomFile:
    """One random file from a seed: `save` writes it; `type` is that of its input (None: quantised inside)."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        image = self.chance(0.7)
        self.shape: tuple[int, ...] = (self.pick(1, 2, 3), self.pick(4, 5, 8), self.pick(4, 6)) if image else (12,)
        self.now = self.shape
        self.model = Model(*self.shape)
        self.type = Type(self.shape, (0, 255), (Fraction(1, 255),)) if self.chance(0.6) else None
        wire = self._scaled(self.model.x) if self.type and self.chance(0.5) else self.model.x
        wire = self._quant(wire)
        for _ in range(self.pick(1, 2, 3)):
            wire = self._image_layer(wire) if image else self._dense(wire)
        if image and self.chance(0.7):
            wire = self._flatten(wire)
            wire = self._dense(wire)
        self.index = len(self.now) == 1 and self.chance(0.3)
        self.output = self._end(wire)

    def save(self, path: Path) -> Path:
        """Write the file."""
        return self.model.save(path, self.output, kind=TensorProto.INT64 if self.index else TensorProto.FLOAT)

    def pick(self, *choices: int) -> int:
        return int(self.random.choice(choices))

    def chance(self, p: float) -> bool:
        return bool(self.random.random() < p)

    def real(self, count: int) -> np.ndarray:
        """Inputs of the file, with a batch of 1 each: (count, 1, *shape)."""
        if self.type is None:
            return self.random.normal(0, 3, (count, 1, *self.shape)).astype(np.float32)
        return self.random.integers(0, 256, (count, 1, *self.shape)).astype(np.float32) / np.float32(255)

    def _scaled(self, wire: str) -> str:
        wire = self.model.add("Mul", wire, 2.0)
        return self.model.add("Sub", wire, 1.0)

    def _power(self, *shape: int) -> np.ndarray:
        return np.exp2(self.random.integers(-4, 2, shape)).astype(np.float32)

    def _quant(self, wire: str) -> str:
        domain = OLD if self.chance(0.3) else QONNX
        if self.chance(0.2):
            return self.model.bipolar(wire, self._power(), domain)
        signed, bits = self.pick(0, 1), self.pick(1, 2, 3, 4, 8)
        settings = {"bits": bits, "signed": signed, "narrow": self.pick(0, 1) if bits > 1 else 0, "domain": domain}
        zero = float(self.pick(0, 0, 0, 1, -2)) if bits > 1 else 0.0
        mode = str(self.random.choice(MODES))
        return self.model.quant(wire, self._power() * np.float32(self.pick(1, 1, 3)), zero=zero, mode=mode, **settings)

    def _weights(self, *shape: int) -> str:
        values = self.random.normal(0, 1, shape).astype(np.float32)
        if self.chance(0.3):
            return self.model.bipolar(values, self._power())
        scale = self._power(shape[0], *[1] * (len(shape) - 1)) if self.chance(0.4) else self._power()
        return self.model.quant(values, scale, self.pick(2, 3, 4), narrow=self.pick(0, 1))

    def _behind(self, wire: str, channels: int, axes: int) -> str:
        """Bias or norm, rectifier, quantiser; not all of them."""
        shape = (1, channels, *[1] * axes)
        if self.chance(0.4):
            wire = self.model.add("Add", wire, self.random.normal(0, 1, shape))
        if self.chance(0.6):
            mean, bias = self.random.normal(0, 2, (2, channels))
            parameters = (self.random.normal(0, 1, channels), bias, mean, self.random.random(channels) * 20 + 0.1)
            wire = self.model.add("BatchNormalization", wire, *parameters, epsilon=1e-5)
        if self.chance(0.4):
            wire = self.model.add("Relu", wire)
        return self._quant(wire)

    def _keep(self, wire: str, shape: tuple[int, ...]) -> str:
        self.now = shape
        return wire

    def _image_layer(self, wire: str) -> str:
        channels, height, width = self.now
        kind = self.pick(0, 0, 0, 1, 2)
        if kind == 1 and min(height, width) >= 2:
            return self._pool(wire, channels, height, width)
        if kind == 2:
            return self._residual(wire, channels)
        outputs, groups = self.pick(1, 2, 4), channels if self.chance(0.2) else 1
        outputs *= groups
        kernel, padding = (3, self.pick(0, 1)) if min(height, width) >= 3 else (1, 0)
        attributes = {"pads": [padding] * 4, "kernel_shape": [kernel, kernel], "group": groups}
        bias = [self.random.normal(0, 1, outputs)] if self.chance(0.4) else []
        weights = self._weights(outputs, channels // groups, kernel, kernel)
        wire = self.model.add("Conv", wire, weights, *bias, **attributes)
        shrink = kernel - 1 - 2 * padding
        return self._keep(self._behind(wire, outputs, 2), (outputs, height - shrink, width - shrink))

    def _pool(self, wire: str, channels: int, height: int, width: int) -> str:
        if self.chance(0.5):
            wire = self.model.add("MaxPool", wire, kernel_shape=[2, 2], strides=[2, 2])
        else:
            wire = self._quant(self.model.add("AveragePool", wire, kernel_shape=[2, 2], strides=[2, 2]))
        return self._keep(wire, (channels, height // 2, width // 2))

    def _residual(self, wire: str, channels: int) -> str:
        inner = self.model.add("Conv", wire, self._weights(channels, channels, 3, 3), pads=[1] * 4)
        inner = self._behind(inner, channels, 2)
        total = self.model.add("Sub" if self.chance(0.3) else "Add", inner, wire)
        return total if self.chance(0.4) else self._quant(total)

    def _flatten(self, wire: str) -> str:
        size = int(np.prod(self.now))
        if self.chance(0.5):
            wire = self.model.add("Flatten", wire, axis=1)
        else:
            wire = self.model.add("Reshape", wire, self.model.constant([1, -1], np.int64))
        return self._keep(wire, (size,))

    def _dense(self, wire: str) -> str:
        (inputs,), outputs = self.now, self.pick(2, 5, 8)
        weights = self.model.add("Transpose", self._weights(outputs, inputs), perm=[1, 0])
        wire = self.model.add("MatMul", wire, weights)
        return self._keep(self._behind(wire, outputs, 0), (outputs,))

    def _end(self, wire: str) -> str:
        if self.index:
            return self.model.add("ArgMax", wire, axis=1)
        if self.chance(0.5):
            wire = self.model.add("Mul", wire, self.random.normal(0, 1))
            wire = self.model.add("Add", wire, self.random.normal(0, 1))
        return wire
