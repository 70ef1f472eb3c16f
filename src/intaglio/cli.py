"""The command line: a thin skin over the Python interface.

Exit status 0: every check that was made held. 1: a check failed. 2: the input was wrong.
With --json a command prints its records and nothing else; all other words go to the standard error.
"""

import functools
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, ParamSpec

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from intaglio.ir.errors import IntaglioError

HELD, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130

Arguments = ParamSpec("Arguments")
Json = Annotated[bool, typer.Option("--json", help="Print records as JSON and nothing else.")]

app = typer.Typer(
    help="Carve trained neural networks into custom hardware, bit for bit and cycle for cycle.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
errors = Console(stderr=True, highlight=False)


def checked(command: Callable[Arguments, bool]) -> Callable[Arguments, None]:
    """A command that returns whether its checks held, with errors as one message and an exit status."""

    @functools.wraps(command)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        try:
            status = HELD if command(*args, **kwargs) else FAILED
        except IntaglioError as error:
            errors.print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True)
            status = WRONG
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            text = f"{place}{error.strerror or error}; set that right and run the same command again"
            errors.print(f"[red]error:[/red] {escape(text)}", soft_wrap=True)
            status = WRONG
        except KeyboardInterrupt:
            errors.print("interrupted: run the same command again to continue")
            status = INTERRUPTED
        raise typer.Exit(status)

    return run


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        typer.echo(f"intaglio {version('intaglio')}")
        raise typer.Exit


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
        typer.echo(json.dumps([asdict(tool) for tool in tools], indent=1))
    else:
        table = Table(box=None, padding=(0, 2, 0, 0))
        for heading in ("tool", "version", "needed for", "missing: what to do"):
            table.add_column(heading, no_wrap=heading == "tool")
        for tool in tools:
            mark = "[green]✓[/green]" if tool.found else "[yellow]–[/yellow]" if tool.optional else "[red]✗[/red]"
            remedy = "" if tool.found else escape(tool.remedy) + " (optional)" * tool.optional
            table.add_row(f"{mark} {tool.name}", tool.version or "", tool.purpose, remedy)
        Console().print(table)
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
    if as_json:
        sys.stdout.write(dump(measurements))
    else:
        typer.echo(folder.report)
    return passed(measurements)


@app.command()
@checked
def schema() -> bool:
    """Print the JSON Schema of recipes, for completion and checks in an editor."""
    from intaglio.run.job import json_schema

    typer.echo(json.dumps(json_schema(), indent=1))
    return True


@app.command()
@checked
def report(
    folder: Annotated[Path, typer.Argument(help="The folder of a run.")] = Path("runs/digits"),
    as_json: Json = False,
) -> bool:
    """Render the report of a run again; fails if the run found hardware and network to differ."""
    from intaglio.measure import RunFolder, dump
    from intaglio.reading import read_text
    from intaglio.report import from_json, render
    from intaglio.report.verdict import equality

    run = RunFolder(folder)
    measurements = run.read_measurements()
    if not run.report_data.is_file():
        raise IntaglioError(f"{folder} holds no {run.report_data.name}: run it again to write its report")
    data = from_json(read_text(run.report_data))
    run.write(run.report.name, render(data))
    if as_json:
        sys.stdout.write(dump(measurements))
    else:
        typer.echo(run.report)
    return equality([m for m in data.measurements if m.subject == data.subject]).state != "bad"
