"""The command line: a thin skin over the Python interface.

Exit status 0: every check held. 1: a check failed or was not made. 2: the input was wrong. 128 + n: ended by signal n.
With --json a command prints its records and nothing else; all other words go to the standard error.
"""

import errno
import functools
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, ParamSpec, TextIO

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from intaglio.files import no_room, readable
from intaglio.ir.errors import IntaglioError

HELD, FAILED, WRONG = 0, 1, 2

Arguments = ParamSpec("Arguments")
Json = Annotated[bool, typer.Option("--json", help="Print records as JSON and nothing else.")]

app = typer.Typer(
    help="Carve trained neural networks into custom hardware, bit for bit and cycle for cycle.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Words(Console):
    """The standard error, whose reader may leave: the work goes on, and its results are in their files."""

    def on_broken_pipe(self) -> None:
        """Be quiet from now on."""
        self.quiet = True
        _silence(sys.stderr)


errors = Words(stderr=True, highlight=False)


class Ended(KeyboardInterrupt):
    """A signal asks us to end; whoever is at work cleans up while this passes."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


def _end(number: int, _: FrameType | None) -> None:
    raise Ended(number)


@contextmanager
def _ended_by_signals() -> Generator[None]:
    """INT, TERM and HUP end the block by `Ended`, unless we were started to ignore them."""
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, _end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def checked(command: Callable[Arguments, bool]) -> Callable[Arguments, None]:
    """A command that returns whether its checks held, with errors as one message and an exit status."""

    @functools.wraps(command)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        try:
            with _ended_by_signals():
                status = HELD if command(*args, **kwargs) else FAILED
        except IntaglioError as error:
            tell(str(error))
            status = WRONG
        except OSError as error:
            place = f"{readable(Path(os.fsdecode(error.filename)))}: " if error.filename else ""
            reason = no_room(error) or f"{error.strerror or error}; set that right"
            tell(f"{place}{reason} and run the same command again")
            status = WRONG
        except Ended as end:
            errors.print(f"ended by {end}: run the same command again to continue")
            status = end.status
        raise typer.Exit(status)

    return run


def tell(text: str) -> None:
    """An error as one message on the standard error."""
    errors.print(f"[red]error:[/red] {escape(text)}", soft_wrap=True)


def say(text: str | Path) -> None:
    """A result on the standard output: text as UTF-8, a path as the bytes that name it.

    Quiet where nobody listens any more, or the output was closed before; raises OSError where it cannot be written.
    """
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]
        return
    data = os.fsencode(text) + b"\n" if isinstance(text, Path) else text.encode("utf-8", "surrogateescape")
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        _silence(sys.stdout)
        if error.errno != errno.EPIPE:
            raise OSError(error.errno, error.strerror, "the standard output") from None


def _silence(stream: TextIO) -> None:
    """What is still to be written to a stream, and will be when we end, goes nowhere."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        _say_version()


@checked
def _say_version() -> bool:
    say(f"intaglio {version('intaglio')}\n")
    return True


@app.callback()
def main(
    _: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Carve trained neural networks into custom hardware, bit for bit and cycle for cycle."""


@app.command()
@checked
def doctor(as_json: Json = False) -> bool:
    """Say which external tools are here, in which version, and how to get those that are missing."""
    from intaglio.hardware.doctor import doctor as examine

    tools = examine()
    if as_json:
        say(json.dumps([asdict(tool) for tool in tools], indent=1) + "\n")
    else:
        table = Table(box=None, padding=(0, 2, 0, 0))
        for heading in ("tool", "version", "needed for", "missing: what to do"):
            table.add_column(heading, no_wrap=heading == "tool")
        for tool in tools:
            mark = "[green]✓[/green]" if tool.found else "[yellow]–[/yellow]" if tool.optional else "[red]✗[/red]"
            remedy = "" if tool.found else escape(tool.remedy) + " (optional)" * tool.optional
            table.add_row(f"{mark} {tool.name}", tool.version or "", tool.purpose, remedy)
        console = Console()
        with console.capture() as shown:
            console.print(table)
        say(shown.get())
    return all(tool.found or tool.optional for tool in tools)


@app.command()
@checked
def run(
    recipe: Annotated[Path | None, typer.Argument(help="A YAML recipe; the embedded digits without one.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; runs/<name of the recipe> unless given.")] = None,
    as_json: Json = False,
) -> bool:
    """Train, approximate, lower, carve, verify and report; an interrupted run continues where it stopped."""
    from intaglio.measure import RunFolder, dump
    from intaglio.run import job
    from intaglio.run.pipeline import STEPS, Step, passed
    from intaglio.run.pipeline import run as run_job

    def announce(step: Step, seconds: float | None) -> None:
        number = f"[{STEPS.index(step) + 1}/{len(STEPS)}]"
        if seconds is None:
            errors.print(f"{number} {step.about} …")
        else:
            errors.print(f"{' ' * len(number)} [green]✓[/green] {seconds:.1f} s")

    wanted = job.load_job(recipe or job.DEFAULT)
    folder = RunFolder(out or Path("runs") / wanted.name)
    measurements = run_job(wanted, folder, announce, progress=not as_json)
    say(dump(measurements) if as_json else folder.report)
    return passed(measurements)


@app.command()
@checked
def schema() -> bool:
    """Print the JSON Schema of recipes, for completion and checks in an editor."""
    from intaglio.run.job import json_schema

    say(json.dumps(json_schema(), indent=1) + "\n")
    return True


@app.command()
@checked
def report(
    folder: Annotated[Path, typer.Argument(help="The folder of a run.")] = Path("runs/digits"),
    as_json: Json = False,
) -> bool:
    """Render the report of a run again; fails if a check of the run failed or was not made."""
    from intaglio.measure import RunFolder, dump
    from intaglio.reading import read_text
    from intaglio.report import from_json, render
    from intaglio.report.verdict import equality

    run = RunFolder(folder)
    measurements = run.read_measurements()
    if not run.report_data.is_file():
        raise IntaglioError(f"{readable(folder)} holds no {run.report_data.name}: run it again to write its report")
    data = from_json(read_text(run.report_data))
    if data.measurements != measurements:
        errors.print(f"{run.report_data.name} says something else than {run.measurements.name}, which is shown")
        data = replace(data, measurements=measurements)
    try:
        run.write(run.report.name, render(data))
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM) or not run.report.is_file():
            raise
        errors.print(f"{run.report.name} stays as it is: {error.strerror}")
    say(dump(measurements) if as_json else run.report)
    own = [m for m in measurements if m.subject == data.subject]
    return all(equality(found).state == "good" for found in (own, measurements))
