"""The intermediate form of a model and its kernels: forward, pattern, gradient, tangent, ray, region."""

from relu_attack.network.affine import Affine, identity
from relu_attack.network.layers import Layer
from relu_attack.network.loss import Loss
from relu_attack.network.lowering import Lowering, lower
from relu_attack.network.network import Evaluation, Network, Workspace, dense_chain
from relu_attack.network.penalty import with_excess
from relu_attack.network.region import Region, breakpoint_times, ray, region, wall_times

__all__ = [
    "Affine",
    "Evaluation",
    "Layer",
    "Loss",
    "Lowering",
    "Network",
    "Region",
    "Workspace",
    "breakpoint_times",
    "dense_chain",
    "identity",
    "lower",
    "ray",
    "region",
    "wall_times",
    "with_excess",
]
