"""LeNet-5 as Caffe ships it, the one in most pruning papers: 431,080 parameters, 2.293 M MAC = 4.59 Mop."""

from torch import Tensor, nn


class LeNet5Caffe(nn.Module):
    """(N, 1, 28, 28) -> logits (N, 10): conv 20@5x5, pool, conv 50@5x5, pool, 800-500 with ReLU, 500-10.

    As in Caffe, the convolutions have no activation besides their max pools.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.pool1 = nn.Conv2d(1, 20, 5), nn.MaxPool2d(2)
        self.conv2, self.pool2 = nn.Conv2d(20, 50, 5), nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.fc1, self.relu1 = nn.Linear(800, 500), nn.ReLU()
        self.fc2 = nn.Linear(500, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool2(self.conv2(self.pool1(self.conv1(x))))
        return self.fc2(self.relu1(self.fc1(self.flatten(x))))
