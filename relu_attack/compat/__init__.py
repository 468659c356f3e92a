"""The calling conventions of other attack packages, so that a search here can take the place of one of theirs.

Nothing of those packages is imported.
"""

from relu_attack.compat.foolbox import FoolboxAttack
from relu_attack.compat.torchattacks import Attack

__all__ = ["Attack", "FoolboxAttack"]
