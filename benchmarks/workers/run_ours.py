"""The golden model: calls of a Graph on a batch. Arguments: network (network.npz, lenet5_caffe or a stack), batch."""

import sys
from pathlib import Path

import numpy as np
from turns import take_turns, versions

from intaglio.ir.graph import Graph


def quantised(network: str, batch: int) -> tuple[Graph, np.ndarray]:
    """LeNet-5 Caffe or a stack in 8 bits, quantised after initialisation, and images as integers."""
    import torch
    from stacks import KINDS, SHAPE, stack

    from intaglio.methods.formats.fixed_point import FixedPoint
    from intaglio.models import LeNet5Caffe
    from intaglio.recipe import Recipe
    from intaglio.twin.lower import lower

    torch.manual_seed(0)
    model, shape = (stack(network), SHAPE) if network in KINDS else (LeNet5Caffe(), (1, 28, 28))
    images = torch.rand(batch, *shape)
    graph = lower(Recipe(FixedPoint()).apply(model, images[:16]).eval(), images[:1])
    return graph, graph.input_types[0].quantize(images.numpy())


def main(network: str, batch: int) -> None:
    """Take turns in calling the Graph."""
    wrong = 0
    if Path(network).is_file():
        data = dict(np.load(network))
        graph, inputs = Graph.parse(str(data["graph"])), data["inputs"]
        wrong = int((graph(inputs)[0] != data["outputs"]).sum())
    else:
        graph, inputs = quantised(network, batch)
    take_turns(
        lambda: graph(inputs),
        wrong=wrong,
        batch=len(inputs),
        nodes=len(graph.nodes),
        versions=versions("numpy"),
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
