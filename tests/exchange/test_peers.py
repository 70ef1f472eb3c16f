"""The evaluator of the tests, read_qonnx and write_qonnx beside qonnx itself, where it is installed."""

import numpy as np
import pytest

from intaglio.exchange import read_qonnx, write_qonnx
from tests.support.exchange import draw, real, same
from tests.support.onnx_models import evaluate
from tests.support.onnx_nodes import CASES, build
from tests.support.random_files import RandomFile
from tests.support.random_graphs import RandomGraph

wrapper = pytest.importorskip("qonnx.core.modelwrapper", reason="qonnx is not installed")


def execute(path, x):
    """What qonnx gives, shapes inferred."""
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    model = wrapper.ModelWrapper(str(path)).transform(InferShapes())
    (port,) = [p.name for p in model.graph.input]
    found = execute_onnx(model, {port: x})
    return [found[p.name] for p in model.graph.output]


@pytest.mark.parametrize("name", CASES)
def test_the_evaluator_of_the_tests_is_right(name, tmp_path):
    of, case = CASES[name]
    path = build(case, of, tmp_path / "m.onnx")
    for x in draw(of, 4):
        given = real(of, x)[None]
        for mine, theirs in zip(evaluate(path, given), execute(path, given), strict=True):
            same(mine, theirs)


@pytest.mark.parametrize("seed", range(40))
def test_random_files(seed, tmp_path):
    file = RandomFile(seed)
    path = file.save(tmp_path / "m.onnx")
    found = read_qonnx(path, file.type)
    for x in file.real(3):
        same(found(*found.encode(x))[0], execute(path, x)[0])


@pytest.mark.parametrize("seed", range(40))
def test_written_graphs(seed, tmp_path):
    random = RandomGraph(seed)
    write_qonnx(random.graph, tmp_path / "m.onnx", batch=3)
    x = random.inputs(3)
    assert np.array_equal(execute(tmp_path / "m.onnx", x.astype(np.float32))[0], random.graph(x)[0])
