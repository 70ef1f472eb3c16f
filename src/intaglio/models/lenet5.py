"""LeNet-5, the classic one (LeCun et al. 1998), in the common variant with ReLU and max pooling, 61,706
parameters."""

from torch import Tensor, nn


class LeNet5(nn.Module):
    """(N, 1, 28, 28) -> logits (N, 10): conv 6@5x5 (padding 2), pool, conv 16@5x5, pool, 400-120-84-10.

    The paper has tanh, trainable subsampling, a sparse second convolution and radial output units instead.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.relu1, self.pool1 = nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)
        self.conv2, self.relu2, self.pool2 = nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.fc1, self.relu3 = nn.Linear(400, 120), nn.ReLU()
        self.fc2, self.relu4 = nn.Linear(120, 84), nn.ReLU()
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(self.relu1(self.conv1(x)))
        x = self.flatten(self.pool2(self.relu2(self.conv2(x))))
        return self.fc3(self.relu4(self.fc2(self.relu3(self.fc1(x)))))
