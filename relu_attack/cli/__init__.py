"""The command ``relu-attack``; nothing heavy is imported before a subcommand runs."""

import gc

from relu_attack._loading import without_collection

with without_collection():
    from relu_attack.cli.app import app


def main() -> None:
    """Run the command of ``sys.argv`` and exit with its code: 0 answered, 1 bad input, 2 usage."""
    # What is loaded stays to the end: to look through it for garbage would take a tenth of the start.
    gc.freeze()
    app()


__all__ = ["app", "main"]
