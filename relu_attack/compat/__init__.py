"""The calling conventions of other attack packages, so that a search here can take the place of one of theirs.

Nothing of those packages is imported.
"""

from relu_attack.compat._attackbench import minimum_norm_attack
from relu_attack.compat._foolbox import FoolboxAttack
from relu_attack.compat._torchattacks import Attack

__all__ = ["Attack", "FoolboxAttack", "minimum_norm_attack"]
