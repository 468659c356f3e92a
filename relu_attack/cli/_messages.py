"""What the user is told on stderr: errors in one line, warnings without a place in the code."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from relu_attack._loading import INTERRUPTED
from relu_attack._memory import named_memory_errors
from relu_attack.errors import ReLUAttackError

__all__ = ["BAD_INPUT", "INTERRUPTED", "on_terminal", "plain_messages", "say"]

BAD_INPUT = 1
LONGEST_LINE = 500
"""Characters of a line of a message, such as one with a path of thousands."""


@contextmanager
def plain_messages() -> Iterator[None]:
    """Turn named errors and those of files into one line and exit code 1."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = _show_warning
        try:
            with named_memory_errors():
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
    """Print a message on stderr; lines that nobody would read to their end are cut."""
    # The lines of a message are indented; other ends of lines are those of names and paths in it.
    whole = re.sub(r"\n(?!  )|\r", " ", message)
    lines = (line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}..." for line in whole.split("\n"))
    typer.echo("relu-attack: " + "\n".join(lines), err=True)


def on_terminal() -> bool:
    """Return whether a person is looking at stderr."""
    return sys.stderr.isatty()


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    say(f"warning: {message}")
