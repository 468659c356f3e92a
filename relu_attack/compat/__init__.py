"""The calling conventions of other attack packages, so that a search here can take the place of one of theirs.

Nothing of those packages is imported.
"""

from relu_attack.compat._foolbox import FoolboxAttack
from relu_attack.compat._torchattacks import Attack

__all__ = ["Attack", "FoolboxAttack"]
