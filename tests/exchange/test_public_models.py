"""The TFC networks of the public QONNX model zoo, read and compared with the evaluator on MNIST."""

from fractions import Fraction

import numpy as np
import pytest

from intaglio.datasets import read_idx
from intaglio.datasets.mnist import data_folder
from intaglio.exchange import read_qonnx
from intaglio.ir import Type
from tests.support.exchange import same
from tests.support.onnx_models import evaluate

COUNT = 100


@pytest.mark.parametrize(("name", "right", "bits"), [("1W1A", 9296, 1), ("1W2A", 9474, 2), ("2W2A", 9660, 2)])
def test_tfc(name, right, bits):
    """Every output bit of some images, and the accuracy on all 10,000, which qonnx has too."""
    path, mnist = data_folder() / "models" / f"TFC_{name}.onnx", data_folder() / "mnist"
    if not path.is_file() or not mnist.is_dir():
        pytest.skip(f"{path} or {mnist} is not there: set INTAGLIO_DATA")
    images, labels = (read_idx(mnist / f"t10k-{part}.gz") for part in ("images-idx3-ubyte", "labels-idx1-ubyte"))
    found = read_qonnx(path, Type((1, 28, 28), (0, 255), (Fraction(1, 255),)))
    assert found.exact
    assert all(node.type.bits == bits for node in found.graph.nodes if type(node.op).__name__ == "Threshold")
    outputs = found(images[:, None])[0]
    for image, mine in zip(images[:COUNT], outputs, strict=False):
        real = image[None, None].astype(np.float32) / np.float32(255)
        same(mine[None], evaluate(path, real)[0])
    assert int((outputs.argmax(axis=1) == labels).sum()) == right
