"""LeNet-300-100: the fully connected network of the pruning literature (LeCun et al. 1998), 266,610
parameters."""

from torch import Tensor, nn


class LeNet300100(nn.Module):
    """784-300-100-10 with ReLU; (N, 1, 28, 28) -> logits (N, 10). 266,200 weights, 0.532 Mop."""

    def __init__(self) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.fc1, self.relu1 = nn.Linear(784, 300), nn.ReLU()
        self.fc2, self.relu2 = nn.Linear(300, 100), nn.ReLU()
        self.fc3 = nn.Linear(100, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(self.fc1(self.flatten(x)))
        return self.fc3(self.relu2(self.fc2(x)))
