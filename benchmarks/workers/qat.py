"""A training step, timed in turns: forward, loss, backward, optimiser."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from turns import take_turns


def train(
    model: nn.Module,
    shape: tuple[int, ...],
    batch: int,
    threads: int,
    versions: dict[str, str],
    methods: Sequence[Any] = (),
) -> None:
    """Take turns in steps of stochastic gradient descent with momentum on random images of a shape.

    `methods` take part as in `fit`: their schedules before the step, their terms in the loss.
    """
    torch.set_num_threads(threads)
    model.train()
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(batch, *shape, generator=generator)
    y = torch.randint(10, (batch,), generator=generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    loss_of = nn.CrossEntropyLoss()

    def step() -> None:
        for method in methods:
            method.step(model, 0.5)
        optimizer.zero_grad()
        terms = [method.loss(model, x, y) for method in methods]
        (loss_of(model(x), y) + sum(terms)).backward()
        optimizer.step()

    take_turns(
        step,
        warm_up=5,
        batch=batch,
        threads=torch.get_num_threads(),
        versions=versions,
        parameters=sum(p.numel() for p in model.parameters()),
    )
