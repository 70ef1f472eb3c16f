"""Every node that read_qonnx knows: the integers it becomes give the file's outputs, bit by bit."""

import pytest

from intaglio.ir import Type
from tests.support.exchange import agree
from tests.support.onnx_nodes import CASES, build


@pytest.mark.parametrize("name", CASES)
def test_node(name, tmp_path):
    of, case = CASES[name]
    given = of if len(of.shape) != 2 else Type((*of.shape, 1), of.range, of.scale)
    assert agree(build(case, of, tmp_path / "m.onnx"), given).exact
