"""The intermediate form of a model and its kernels: forward, pattern, gradient, tangent, ray, region."""

from relu_attack.network._affine import Affine, identity
from relu_attack.network._layers import Layer
from relu_attack.network._loss import Loss
from relu_attack.network._network import Evaluation, Network, Workspace, dense_chain
from relu_attack.network._penalty import with_excess
from relu_attack.network._region import Region, breakpoint_times, ray, region, wall_times
from relu_attack.network.lowering import (
    OUTSIDE,
    PADDING,
    Builder,
    Lane,
    Lowering,
    Visit,
    lower,
    lower_leaky_relu,
    lower_max_pool,
    lower_relu,
    member,
    normalize,
    pad,
    product,
)
from relu_attack.network.operators import (
    Combined,
    Convolution,
    Dense,
    Diagonal,
    Kronecker,
    LinearOperator,
    Selection,
    Sparse,
    Widened,
)

__all__ = [
    "OUTSIDE",
    "PADDING",
    "Affine",
    "Builder",
    "Combined",
    "Convolution",
    "Dense",
    "Diagonal",
    "Evaluation",
    "Kronecker",
    "Lane",
    "Layer",
    "LinearOperator",
    "Loss",
    "Lowering",
    "Network",
    "Region",
    "Selection",
    "Sparse",
    "Visit",
    "Widened",
    "Workspace",
    "breakpoint_times",
    "dense_chain",
    "identity",
    "lower",
    "lower_leaky_relu",
    "lower_max_pool",
    "lower_relu",
    "member",
    "normalize",
    "pad",
    "product",
    "ray",
    "region",
    "wall_times",
    "with_excess",
]
