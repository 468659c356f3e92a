"""The command ``relu-attack``; heavy packages are imported by the subcommands that need them."""

import gc
import signal

from relu_attack._loading import ended_by_interrupts, without_collection

with ended_by_interrupts(), without_collection():
    from relu_attack.cli._app import app


def main() -> None:
    """Run the command of ``sys.argv`` and exit with its code: 0 answered, 1 bad input, 2 usage."""
    # Until a call notes it, SIGTERM is what Ctrl-C is: KeyboardInterrupt, which ends the command with one line.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # What is loaded stays to the end: to look through it for garbage would take a tenth of the start.
    gc.freeze()
    app()


__all__ = ["app", "main"]
