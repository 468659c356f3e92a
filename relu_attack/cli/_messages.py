"""User-facing output on stderr: one-line errors, and warnings without source location."""

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

__all__ = ["BAD_INPUT", "INTERRUPTED", "plain_messages", "print_error", "shows_progress"]

BAD_INPUT = 1
LONGEST_LINE = 500
"""Characters of a line of a message, such as one with a path of thousands."""


@contextmanager
def plain_messages() -> Iterator[None]:
    """Print named errors and file errors as one line, and exit with code 1."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = _show_warning
        try:
            with named_memory_errors():
                yield
        except ReLUAttackError as reason:
            print_error(str(reason))
            raise typer.Exit(BAD_INPUT) from None
        except BrokenPipeError:  # as in `relu-attack verify ... | head -1`; the command line's library ends quietly
            raise
        except OSError as reason:
            print_error(f"{reason.filename or 'a file'}: {reason.strerror or reason}")
            raise typer.Exit(BAD_INPUT) from None
        except KeyboardInterrupt:
            print_error("interrupted before there was an answer")
            raise typer.Exit(INTERRUPTED) from None


def print_error(message: str) -> None:
    """Print a message on stderr; overlong lines are truncated."""
    # The lines of a message are indented; other ends of lines are those of names and paths in it.
    whole = re.sub(r"\n(?!  )|\r", " ", message)
    lines = (line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}..." for line in whole.split("\n"))
    typer.echo("relu-attack: " + "\n".join(lines), err=True)


def shows_progress(given: bool | None) -> bool:
    """Return whether to show progress: as given, by default where stderr is a terminal."""
    return sys.stderr.isatty() if given is None else given


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print_error(f"warning: {message}")
