"""LeNet-5 in Caffe's shape with batch norm and ReLU behind its convolutions, for formats of few bits: 431,650
parameters."""

from torch import Tensor, nn


class LeNet5Norm(nn.Module):
    """(N, 1, 28, 28) -> logits (N, 10): conv 20@5x5, pool, conv 50@5x5, pool, 800-500, 500-10.

    Unlike Caffe's it has batch norm and ReLU after both convolutions and the first dense layer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1, self.relu1 = nn.Conv2d(1, 20, 5, bias=False), nn.BatchNorm2d(20), nn.ReLU()
        self.conv2, self.norm2, self.relu2 = nn.Conv2d(20, 50, 5, bias=False), nn.BatchNorm2d(50), nn.ReLU()
        self.pool1, self.pool2, self.flatten = nn.MaxPool2d(2), nn.MaxPool2d(2), nn.Flatten()
        self.fc1, self.norm3, self.relu3 = nn.Linear(800, 500, bias=False), nn.BatchNorm1d(500), nn.ReLU()
        self.fc2 = nn.Linear(500, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(self.relu1(self.norm1(self.conv1(x))))
        x = self.pool2(self.relu2(self.norm2(self.conv2(x))))
        return self.fc2(self.relu3(self.norm3(self.fc1(self.flatten(x)))))
