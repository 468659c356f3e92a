"""The named errors and warnings of the package.

Every message is one line that says what was wrong, where, and what would be right.
"""


class ReLUAttackError(Exception):
    """Base of every error that the package raises on purpose."""


class UnsupportedModuleError(ReLUAttackError):
    """A module of the model has no exact piecewise-linear form here."""


class ModelError(ReLUAttackError):
    """The model cannot be used as given: weights that are not finite, a wrong shape, training mode."""


class DomainError(ReLUAttackError, ValueError):
    """The set of inputs is empty, unbounded, malformed or does not fit the model."""


class ObjectiveError(ReLUAttackError, ValueError):
    """The objective does not fit the outputs of the model."""


class OptionError(ReLUAttackError, ValueError):
    """An option of a method or a call has an impossible value."""


class ArgumentError(OptionError, TypeError):
    """A call was given an argument of a name that it does not have."""


class SolverError(ReLUAttackError):
    """A numerical solver failed without an answer that can be verified."""


class FileFormatError(ReLUAttackError):
    """A file cannot be read as what it should be."""


class MemoryLimitError(ReLUAttackError, MemoryError):
    """What was asked for does not fit into the memory that there is, or that the call may take."""


class TimeLimitError(ReLUAttackError, TimeoutError):
    """The time of a call ended before anything was known: its limit is below what reading the model takes."""


class ReLUAttackWarning(UserWarning):
    """Base of every warning of the package: the call goes on, and its answer holds."""


class RenamedWarning(ReLUAttackWarning, DeprecationWarning):
    """A public name has a new one; the old one goes with the next release."""
