"""One planted fault: a piece of a file, and what stands there instead."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Fault:
    """Bytes `start` .. `end` of the file `path` (relative to the root) become `after`.

    `place` is the function or module around it; with it a fault keeps its name while lines move.
    """

    path: str
    place: str
    kind: str
    line: int
    start: int
    end: int
    before: str
    after: str

    @property
    def name(self) -> str:
        """What identifies it, but for a second such piece in the same place."""
        return f"{self.path} {self.place}: {self.kind}: {_short(self.before)} -> {_short(self.after)}"

    def plant(self, root: Path) -> None:
        """Change the file below `root`; ValueError where it is not the file in which the fault was found."""
        path = root / self.path
        source = path.read_bytes()
        if source[self.start : self.end] != self.before.encode():
            raise ValueError(f"{path} is not the file in which this fault was found: {self.name}")
        path.write_bytes(source[: self.start] + self.after.encode() + source[self.end :])


def _short(text: str) -> str:
    """One line, without what makes it long."""
    words = " ".join(text.split())
    return words if len(words) <= 60 else words[:57] + "..."
