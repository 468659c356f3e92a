"""The check of what is given as a set."""

from __future__ import annotations

from relu_attack.domains._domain import Domain
from relu_attack.errors import OptionError


def check_domain(value: object, *, name: str = "domain") -> Domain:
    """Return a set that was given; raise `OptionError` for anything else."""
    if isinstance(value, Domain):
        return value
    hint = f"; give {value.__name__}(...), a set" if isinstance(value, type) and issubclass(value, Domain) else ""
    raise OptionError(f"{name} must be a Box, a ball, a Polytope or another Domain, got {type(value).__name__}{hint}")
