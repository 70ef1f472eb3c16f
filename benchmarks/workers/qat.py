"""A training step, timed in turns: forward, loss, backward, optimiser."""

import torch
from torch import nn
from turns import take_turns


def train(model: nn.Module, batch: int, threads: int, versions: dict[str, str]) -> None:
    """Take turns in steps of stochastic gradient descent with momentum on random images."""
    torch.set_num_threads(threads)
    model.train()
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(batch, 1, 28, 28, generator=generator)
    y = torch.randint(10, (batch,), generator=generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    loss_of = nn.CrossEntropyLoss()

    def step() -> None:
        optimizer.zero_grad()
        loss_of(model(x), y).backward()
        optimizer.step()

    take_turns(
        step,
        warm_up=5,
        batch=batch,
        threads=torch.get_num_threads(),
        versions=versions,
        parameters=sum(p.numel() for p in model.parameters()),
    )
