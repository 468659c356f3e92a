"""The command ``relu-attack``; nothing heavy is imported before a subcommand runs."""

from relu_attack.cli.app import app


def main() -> None:
    """Run the command of ``sys.argv`` and exit with its code: 0 answered, 1 bad input, 2 usage."""
    app()


__all__ = ["app", "main"]
