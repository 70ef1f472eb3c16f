"""The command line as a program: `intaglio`, or `python -m intaglio`."""

import signal


def main() -> None:
    """Run a command; an interrupt while it is still being loaded ends it without a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from intaglio.cli import app

    app()


if __name__ == "__main__":
    main()
