"""The jet tagging network of the hls4ml papers (Duarte et al. 2018): 16-64-32-32-5."""

from torch import Tensor, nn


class JetMLP(nn.Module):
    """(N, 16) signed features -> logits (N, 5); 4,389 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.relu1 = nn.Linear(16, 64), nn.ReLU()
        self.fc2, self.relu2 = nn.Linear(64, 32), nn.ReLU()
        self.fc3, self.relu3 = nn.Linear(32, 32), nn.ReLU()
        self.fc4 = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu2(self.fc2(self.relu1(self.fc1(x))))
        return self.fc4(self.relu3(self.fc3(x)))
