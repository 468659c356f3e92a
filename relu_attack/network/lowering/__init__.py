"""From a torch module to the chain: one file for each family of modules, one table of rules."""

from relu_attack.network.lowering._activation import lower_leaky_relu, lower_relu
from relu_attack.network.lowering._builder import Builder, Lane, Visit
from relu_attack.network.lowering._lower import RULES, Lowering, lower
from relu_attack.network.lowering._max_pooling import lower_max_pool
from relu_attack.network.lowering._normalization import normalize
from relu_attack.network.lowering._padding import pad
from relu_attack.network.lowering._tracing import member
from relu_attack.network.lowering._windows import OUTSIDE, PADDING, product

__all__ = [
    "OUTSIDE",
    "PADDING",
    "RULES",
    "Builder",
    "Lane",
    "Lowering",
    "Visit",
    "lower",
    "lower_leaky_relu",
    "lower_max_pool",
    "lower_relu",
    "member",
    "normalize",
    "pad",
    "product",
]
