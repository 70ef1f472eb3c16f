"""qonnx: execution of the integer MLP as Quant, MatMul, Add and Relu nodes. Argument: network.npz."""

import sys
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.util.cleanup import cleanup_model
from turns import take_turns, versions


class Model:
    """An ONNX graph under construction."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, value: Any) -> str:
        """A float32 initialiser."""
        self.constants.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """A node; gives its output."""
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def quant(self, wire: str, scale: float, bits: int, signed: bool) -> str:
        """A Quant node on the grid `scale`, rounding half up."""
        tag = f"q{len(self.nodes)}"
        sides = [
            self.constant(f"{tag}_{name}", value) for name, value in (("scale", scale), ("zero", 0), ("bits", bits))
        ]
        return self.node(
            "Quant",
            wire,
            *sides,
            domain="qonnx.custom_op.general",
            signed=int(signed),
            narrow=int(signed),
            rounding_mode="HALF_UP",
        )


def build(data: Any) -> ModelWrapper:
    """The model with the batch size of the inputs."""
    model, layers, scale = Model(), len(data["shifts"]), 1.0
    batch, features = data["inputs"].shape
    wire = model.quant("x", scale, 8, True)
    for i in range(layers):
        weight = model.quant(model.constant(f"w{i}", data[f"w{i}"].T), 1.0, 8, True)
        wire = model.node("MatMul", wire, weight)
        wire = model.node("Add", wire, model.constant(f"b{i}", data[f"b{i}"] * scale))
        if i < layers - 1:
            scale *= 2.0 ** int(data["shifts"][i])
            wire = model.quant(model.node("Relu", wire), scale, 7, False)
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, (batch, size))
        for name, size in (("x", features), (wire, data["outputs"].shape[1]))
    ]
    graph = helper.make_graph(model.nodes, "mlp", ends[:1], ends[1:], initializer=model.constants)
    opsets = [helper.make_opsetid("", 16), helper.make_opsetid("qonnx.custom_op.general", 1)]
    made = cleanup_model(ModelWrapper(helper.make_model(graph, opset_imports=opsets, ir_version=9)))
    made.scale = scale
    return made


def main(path: str) -> None:
    """Take turns in executing the batch."""
    data = dict(np.load(path))
    model = build(data)
    feed = {model.graph.input[0].name: data["inputs"].astype(np.float32)}
    name = model.graph.output[0].name
    outputs = execute_onnx(model, feed)[name] / model.scale
    take_turns(
        lambda: execute_onnx(model, feed),
        wrong=int((outputs != data["outputs"]).sum()),
        batch=len(data["inputs"]),
        nodes=len(model.graph.node),
        versions=versions("qonnx", "onnx", "onnxruntime", "numpy"),
    )


if __name__ == "__main__":
    main(sys.argv[1])
