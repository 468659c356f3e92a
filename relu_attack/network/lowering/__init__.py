"""Lowering of torch modules to a `Network`: one file for each family of layers, one table of their specifications."""

from relu_attack.network.lowering._average_pooling import average
from relu_attack.network.lowering._builder import Builder, LiveValue, Visit
from relu_attack.network.lowering._layer_spec import ArgumentKind, LayerSpec
from relu_attack.network.lowering._lower import Lowering, lower
from relu_attack.network.lowering._max_pooling import lower_max_pool
from relu_attack.network.lowering._normalization import normalize
from relu_attack.network.lowering._padding import pad
from relu_attack.network.lowering._registry import (
    BUILT_IN,
    find_rule,
    layer_functions,
    layer_specs,
    onnx_operators,
    register_layer,
)
from relu_attack.network.lowering._tracing import member
from relu_attack.network.lowering._windows import PADDING, product, sliding

__all__ = [
    "BUILT_IN",
    "PADDING",
    "ArgumentKind",
    "Builder",
    "LayerSpec",
    "LiveValue",
    "Lowering",
    "Visit",
    "average",
    "find_rule",
    "layer_functions",
    "layer_specs",
    "lower",
    "lower_max_pool",
    "member",
    "normalize",
    "onnx_operators",
    "pad",
    "product",
    "register_layer",
    "sliding",
]
