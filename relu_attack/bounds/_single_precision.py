"""Float32 copies of network, box and objective for float32 bounds; rejects values that float32 cannot represent."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from relu_attack.domains import Domain
from relu_attack.errors import OptionError
from relu_attack.network import Combined, Dense, Diagonal, LinearOperator, Network, Selection, UpcastDense


def in_single_precision(network: Network, domain: Domain, objective: Tensor) -> tuple[Network, Domain, Tensor]:
    """Return a network, a box and objective rows in float32 whose bounds hold for those in float64.

    Weights and rows are exact, as those of a float32 model; the box is rounded outward.

    OptionError is raised for a number that float32 cannot represent, for a set that is not a box, for convolutions,
    whose kernels may be fast transforms with errors of another kind, and while `torch.set_float32_matmul_precision`
    allows less than the highest precision.

    >>> from relu_attack import Box
    >>> from relu_attack.network import dense_chain
    >>> third = torch.tensor([[1 / 3]], dtype=torch.float64)
    >>> chain = dense_chain([third.float().double()], [torch.zeros(1, dtype=torch.float64)])
    >>> _, box, _ = in_single_precision(chain, Box(third[0], third[0]), torch.ones(1, 1, dtype=torch.float64))
    >>> bool(box.lower.double() < third) and bool(third < box.upper.double())
    True
    """
    if torch.get_float32_matmul_precision() != "highest":
        raise OptionError(
            f"torch.get_float32_matmul_precision() is {torch.get_float32_matmul_precision()!r}; bounds in float32 hold "
            "with 'highest' only, or take float64"
        )
    if not domain.is_box:
        raise OptionError(
            f"the domain is a {type(domain).__name__}; bounds in float32 are for boxes; take its box, or float64"
        )
    for place, numbers in _numbers(network):
        _check_exact(numbers, place)
    _check_exact(objective, "the objective")
    around = domain.to(device="cpu", dtype=torch.float64).bounding_box()
    return network.to(dtype=torch.float32), around.to(dtype=torch.float32).bounding_box(), objective.float()


def _numbers(network: Network) -> Iterator[tuple[str, Tensor]]:
    """Return the tensors of a network with descriptions for messages."""
    affines = [(f"layer {index}", layer.affine) for index, layer in enumerate(network.layers)]
    for place, affine in [*affines, ("the output", network.output)]:
        yield f"a bias of {place}", affine.bias
        folded = [] if affine.loss is None or affine.loss.factors is None else [affine.loss.factors]
        for operator in (affine.operator, *folded):
            for weight in _weights(operator, place):
                yield f"a weight of {place}", weight
    for index, layer in enumerate(network.layers):
        yield f"a slope of layer {index}", layer.slope


def _weights(operator: LinearOperator, place: str) -> Iterator[Tensor]:
    if isinstance(operator, Dense | Diagonal):
        yield operator.weight
    elif isinstance(operator, Combined):
        for part in operator.operators:
            yield from _weights(part, place)
    elif not isinstance(operator, Selection | UpcastDense):  # no coefficients, or float32 ones
        raise OptionError(
            f"{place} is a {type(operator).__name__.lower()}; bounds in float32 are for dense layers, take float64"
        )


def _check_exact(numbers: Tensor, name: str) -> None:
    wrong = numbers.float().double() != numbers
    if bool(wrong.any()):
        raise OptionError(f"{name} is {float(numbers[wrong][0])!r}, which float32 cannot hold; take float64")
