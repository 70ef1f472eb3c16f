"""The embedded default: a small convolutional network for 8x8 digits, widths in powers of two."""

from torch import Tensor, nn


class DigitsNet(nn.Module):
    """(N, 1, 8, 8) -> logits (N, 10): conv 16@3x3, pool, conv 32@3x3, pool, 128-10; 6,090 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.relu1, self.pool1 = nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
        self.conv2, self.relu2, self.pool2 = nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
        self.flatten, self.fc = nn.Flatten(), nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(self.relu1(self.conv1(x)))
        return self.fc(self.flatten(self.pool2(self.relu2(self.conv2(x)))))
