"""torch: float32 evaluation on the CPU. Arguments: network (jet_mlp, lenet5_caffe or a stack), batch, threads."""

import sys

import torch
from stacks import KINDS, SHAPE, stack
from turns import take_turns, versions

from intaglio.models import MODELS

SHAPES = {"jet_mlp": (16,), "lenet5_caffe": (1, 28, 28)}


def main(network: str, batch: int, threads: int) -> None:
    """Take turns in evaluating the batch."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = (stack(network) if network in KINDS else MODELS[network]()).eval()
    inputs = torch.rand(batch, *SHAPES.get(network, SHAPE))

    def call() -> torch.Tensor:
        with torch.inference_mode():
            return model(inputs)

    take_turns(call, batch=batch, threads=torch.get_num_threads(), versions=versions("torch"))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
