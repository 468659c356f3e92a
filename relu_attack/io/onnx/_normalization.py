"""Batch normalization in inference: a scale and a shift for each channel."""

from __future__ import annotations

from relu_attack.io.onnx._chain import Chain
from relu_attack.io.onnx._node import Node
from relu_attack.network import normalize


def lower_batch_normalization(node: Node, chain: Chain) -> None:
    """Lower ``BatchNormalization``."""
    if node.number("training_mode", 0):
        raise node.wrong("is in training mode, where its result depends on the batch; export the model for inference")
    if not node.number("spatial", 1):
        raise node.unsupported("has spatial=0; supported: spatial=1")
    scale, shift, mean, variance = (node.tensor(place) for place in range(1, 5))
    shapes = {tuple(part.shape) for part in (scale, shift, mean, variance)}
    if len(chain.shape) < 2 or shapes != {chain.shape[1:2]}:
        raise node.wrong(f"has statistics of shapes {sorted(shapes)} but gets a value of shape {chain.shape}")
    epsilon = node.number("epsilon", DEFAULT_EPSILON)
    if not bool((variance + epsilon > 0).all()):
        raise node.wrong("has a variance that is not positive")
    normalize(chain, mean, variance, scale, shift, eps=epsilon)
    chain.note(f"{chain.shape[1]} channels")


DEFAULT_EPSILON = 9.999999747378752e-06  # 1e-5 in single precision, as the file would hold it
RULES = {"BatchNormalization": lower_batch_normalization}
