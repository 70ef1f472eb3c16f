"""qonnx runs a QONNX file on images. Arguments: model.onnx, images.npz, outputs.npz, images per run, images alone.

`images` (N, 1, 28, 28) of bytes; the file gets k / 255 in float32. All images run in batches, for which qonnx rewrites
the batch axis; the first few run one by one as well, through the file as it is.
"""

import sys
from typing import Any

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.util.cleanup import cleanup_model
from turns import say, versions


def run(path: str, images: np.ndarray, batch: int) -> np.ndarray:
    """Outputs of the file for all images, so many at a time."""
    model = cleanup_model(ModelWrapper(path), override_inpsize=batch if batch > 1 else None)
    source, result = model.graph.input[0].name, model.graph.output[0].name
    pieces: list[Any] = [
        execute_onnx(model, {source: images[start : start + batch]})[result] for start in range(0, len(images), batch)
    ]
    return np.concatenate(pieces)


def main(path: str, data: str, target: str, batch: int, alone: int) -> None:
    """Write the outputs and say what ran."""
    images = np.load(data)["images"].astype(np.float32) / np.float32(255)
    np.savez(target, outputs=run(path, images, batch), single=run(path, images[:alone], 1))
    say(batch=batch, alone=alone, versions=versions("qonnx", "onnx", "onnxruntime", "numpy"))


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]), int(sys.argv[5]))
