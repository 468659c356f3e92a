"""What the user is told on stderr: errors in one line, warnings without a place in the code."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from relu_attack.errors import ReLUAttackError

BAD_INPUT, INTERRUPTED = 1, 130


@contextmanager
def plain_messages() -> Iterator[None]:
    """Turn named errors and those of files into one line and exit code 1."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = _show_warning
        try:
            yield
        except ReLUAttackError as reason:
            say(str(reason))
            raise typer.Exit(BAD_INPUT) from None
        except BrokenPipeError:  # as in `relu-attack verify ... | head -1`; the command line's library ends quietly
            raise
        except OSError as reason:
            say(f"{reason.filename or 'a file'}: {reason.strerror or reason}")
            raise typer.Exit(BAD_INPUT) from None
        except KeyboardInterrupt:
            say("interrupted before there was an answer")
            raise typer.Exit(INTERRUPTED) from None


def say(message: str) -> None:
    """Print a message on stderr."""
    typer.echo(f"relu-attack: {message}", err=True)


def on_terminal() -> bool:
    """Return whether a person is looking at stderr."""
    return sys.stderr.isatty()


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    say(f"warning: {message}")
