"""The golden model: calls of a Graph on a batch. Arguments: network (network.npz or lenet5_caffe), batch."""

import sys
from pathlib import Path

import numpy as np
from turns import take_turns, versions

from intaglio.ir.graph import Graph


def lenet5_caffe(batch: int) -> tuple[Graph, np.ndarray]:
    """LeNet-5 Caffe in 8 bits, quantised after initialisation, and images as integers."""
    import torch

    from intaglio.methods.fixed_point import FixedPoint
    from intaglio.methods.recipe import Recipe
    from intaglio.models import LeNet5Caffe
    from intaglio.twin.lower import lower

    torch.manual_seed(0)
    images = torch.rand(batch, 1, 28, 28)
    graph = lower(Recipe(FixedPoint()).apply(LeNet5Caffe(), images).eval(), images[:1])
    return graph, graph.input_types[0].quantize(images.numpy())


def main(network: str, batch: int) -> None:
    """Take turns in calling the Graph."""
    wrong = 0
    if Path(network).is_file():
        data = dict(np.load(network))
        graph, inputs = Graph.parse(str(data["graph"])), data["inputs"]
        wrong = int((graph(inputs)[0] != data["outputs"]).sum())
    else:
        graph, inputs = lenet5_caffe(batch)
    take_turns(
        lambda: graph(inputs),
        wrong=wrong,
        batch=len(inputs),
        nodes=len(graph.nodes),
        versions=versions("numpy"),
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
