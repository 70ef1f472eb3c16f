"""Bars for steps that count what they have done."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn


@contextmanager
def counted(task: str, shown: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A bar that goes when it is done, and what to tell it: a name, how many are done, of how many."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, disable=not shown, transient=True) as bar:
        number = bar.add_task(task, total=None)

        def tell(name: str, done: int, total: int) -> None:
            bar.update(number, description=f"{task}: {name}", completed=done, total=total)

        yield tell
