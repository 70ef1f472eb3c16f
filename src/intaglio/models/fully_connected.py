"""TFC and SFC: the fully connected networks of the FINN papers (Umuroglu et al. 2017), 784-w-w-w-10 with batch
norm."""

from torch import Tensor, nn


class FullyConnected(nn.Module):
    """(N, 1, 28, 28) -> logits (N, 10): three hidden layers of `width` with batch norm and ReLU.

    The last layer has a bias and no batch norm (FINN's has one): its logits leave the network as they are.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.fc1, self.norm1, self.relu1 = nn.Linear(784, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()
        self.fc2, self.norm2, self.relu2 = nn.Linear(width, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()
        self.fc3, self.norm3, self.relu3 = nn.Linear(width, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()
        self.fc4 = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(self.norm1(self.fc1(self.flatten(x))))
        x = self.relu2(self.norm2(self.fc2(x)))
        return self.fc4(self.relu3(self.norm3(self.fc3(x))))


class TFC(FullyConnected):
    """784-64-64-64-10: 59,008 weights."""

    def __init__(self) -> None:
        super().__init__(64)


class SFC(FullyConnected):
    """784-256-256-256-10: 334,336 weights."""

    def __init__(self) -> None:
        super().__init__(256)
