"""Linear operators: the affine half of the intermediate form.

An operator maps flat rows ``(batch, inputs)`` to flat rows ``(batch, outputs)``. Engines use only what
`LinearOperator` declares, so a new kind of layer needs one new operator at most.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional, grad


class LinearOperator(ABC):
    """A linear map A between flat vectors."""

    @property
    @abstractmethod
    def inputs(self) -> int:
        """Length of a row that goes in."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Length of a row that comes out."""

    @property
    @abstractmethod
    def terms(self) -> int:
        """Largest number of products that are added up for one output; it bounds the rounding error."""

    @abstractmethod
    def apply(self, x: Tensor, *, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
        """Return ``A x + bias`` for each row of `x`, shape (batch, outputs); `out` may be used as the buffer."""

    @abstractmethod
    def transpose(self, y: Tensor, *, out: Tensor | None = None) -> Tensor:
        """Return ``A' y`` for each row of `y`, shape (batch, inputs); `out` may be used as the buffer."""

    @abstractmethod
    def absolute(self) -> LinearOperator:
        """Return the operator |A|, entry by entry; for a composition an upper bound of it, |A2| |A1|."""

    @abstractmethod
    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> LinearOperator:
        """Return the operator on another device or in another dtype."""

    @abstractmethod
    def is_finite(self) -> bool:
        """Whether every coefficient is a finite number."""

    def matrix(self, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float64) -> Tensor:
        """Return A as a dense matrix, shape (outputs, inputs)."""
        basis = torch.eye(self.inputs, dtype=dtype, device=device)
        return self.to(device=device, dtype=dtype).apply(basis).T


@dataclass(frozen=True, eq=False)
class Dense(LinearOperator):
    """A dense matrix.

    Parameters
    ----------
    weight
        Shape (outputs, inputs).
    """

    weight: Tensor

    @property
    def inputs(self) -> int:
        return self.weight.shape[1]

    @property
    def outputs(self) -> int:
        return self.weight.shape[0]

    @property
    def terms(self) -> int:
        return self.inputs

    @cached_property
    def _transposed(self) -> Tensor:
        return self.weight.t()

    def apply(self, x: Tensor, *, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
        if bias is None:
            return torch.mm(x, self._transposed, out=out)
        return torch.addmm(bias, x, self._transposed, out=out)

    def transpose(self, y: Tensor, *, out: Tensor | None = None) -> Tensor:
        return torch.mm(y, self.weight, out=out)

    def absolute(self) -> Dense:
        return Dense(self.weight.abs())

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Dense:
        return Dense(self.weight.to(device=device, dtype=dtype))

    def is_finite(self) -> bool:
        return bool(torch.isfinite(self.weight).all())


@dataclass(frozen=True, eq=False)
class Diagonal(LinearOperator):
    """A scale for each entry; the identity where every scale is 1.

    Parameters
    ----------
    scale
        Shape (inputs,).
    """

    scale: Tensor

    @property
    def inputs(self) -> int:
        return self.scale.shape[0]

    @property
    def outputs(self) -> int:
        return self.scale.shape[0]

    @property
    def terms(self) -> int:
        return 1

    def apply(self, x: Tensor, *, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
        if bias is None:
            return torch.mul(x, self.scale, out=out)
        return torch.addcmul(bias, x, self.scale, out=out)

    def transpose(self, y: Tensor, *, out: Tensor | None = None) -> Tensor:
        return torch.mul(y, self.scale, out=out)

    def absolute(self) -> Diagonal:
        return Diagonal(self.scale.abs())

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Diagonal:
        return Diagonal(self.scale.to(device=device, dtype=dtype))

    def is_finite(self) -> bool:
        return bool(torch.isfinite(self.scale).all())


@dataclass(frozen=True, eq=False)
class Convolution(LinearOperator):
    """A convolution over one or two spatial dimensions with zero padding.

    Parameters
    ----------
    weight
        Shape (out_channels, in_channels / groups, \\*kernel).
    input_shape
        Shape of one input, (in_channels, \\*spatial).
    stride, padding, dilation
        One number for each spatial dimension.
    groups
        Number of channel groups.
    """

    weight: Tensor
    input_shape: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1

    @property
    def inputs(self) -> int:
        return math.prod(self.input_shape)

    @property
    def outputs(self) -> int:
        return math.prod(self.output_shape)

    @cached_property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one output, (out_channels, \\*spatial)."""
        spatial = tuple(
            (size + 2 * pad - dilate * (kernel - 1) - 1) // stride + 1
            for size, kernel, stride, pad, dilate in zip(
                self.input_shape[1:], self.weight.shape[2:], self.stride, self.padding, self.dilation, strict=True
            )
        )
        return (self.weight.shape[0], *spatial)

    @property
    def terms(self) -> int:
        return math.prod(self.weight.shape[1:])

    def apply(self, x: Tensor, *, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
        convolve = functional.conv1d if len(self.input_shape) == 2 else functional.conv2d
        image = x.reshape(-1, *self.input_shape)
        result = convolve(image, self.weight, None, self.stride, self.padding, self.dilation, self.groups).flatten(1)
        return result if bias is None else result.add_(bias)

    def transpose(self, y: Tensor, *, out: Tensor | None = None) -> Tensor:
        backward = grad.conv1d_input if len(self.input_shape) == 2 else grad.conv2d_input
        image = y.reshape(-1, *self.output_shape)
        size = (image.shape[0], *self.input_shape)
        result: Tensor = backward(size, self.weight, image, self.stride, self.padding, self.dilation, self.groups)  # type: ignore[no-untyped-call]
        return result.flatten(1)

    def absolute(self) -> Convolution:
        return self._with_weight(self.weight.abs())

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Convolution:
        return self._with_weight(self.weight.to(device=device, dtype=dtype))

    def is_finite(self) -> bool:
        return bool(torch.isfinite(self.weight).all())

    def scale_outputs(self, scale: Tensor) -> Convolution:
        """Return the convolution followed by one scale for each output channel, shape (out_channels,)."""
        return self._with_weight(self.weight * scale.reshape(-1, *[1] * (self.weight.dim() - 1)))

    def scale_inputs(self, scale: Tensor) -> Convolution:
        """Return the convolution after one scale for each input channel, shape (in_channels,)."""
        shape = self.weight.shape
        grouped = self.weight.reshape(self.groups, -1, *shape[1:])
        channels = scale.reshape(self.groups, 1, shape[1], *[1] * (len(shape) - 2))
        return self._with_weight((grouped * channels).reshape(shape))

    def _with_weight(self, weight: Tensor) -> Convolution:
        return Convolution(weight, self.input_shape, self.stride, self.padding, self.dilation, self.groups)


@dataclass(frozen=True, eq=False)
class Sparse(LinearOperator):
    """A sparse matrix: pooling, padding, selection and sums of entries. Make it with `from_triplets`.

    It gathers by rows for `apply` and by columns for `transpose`, so both are deterministic on every device and work
    in every dtype and in inference mode, which torch's sparse tensors do not.

    Parameters
    ----------
    rows, columns, values
        Each of shape (entries,), sorted by row and column, no place twice.
    shape
        (outputs, inputs).
    """

    rows: Tensor
    columns: Tensor
    values: Tensor
    shape: tuple[int, int]

    @staticmethod
    def from_triplets(rows: Tensor, columns: Tensor, values: Tensor, *, outputs: int, inputs: int) -> Sparse:
        """Build the matrix from row and column indices and values, each of shape (entries,); doubles are added up."""
        places, entry = torch.unique(rows * inputs + columns, return_inverse=True)
        total = values.new_zeros(places.shape[0]).index_add_(0, entry, values)
        return Sparse(places // inputs, places % inputs, total, (outputs, inputs))

    @property
    def inputs(self) -> int:
        return self.shape[1]

    @property
    def outputs(self) -> int:
        return self.shape[0]

    @property
    def stored(self) -> int:
        """Number of entries that are stored."""
        return self.values.shape[0]

    @cached_property
    def terms(self) -> int:
        return int(torch.bincount(self.rows, minlength=1).max())

    @cached_property
    def _by_row(self) -> tuple[Tensor, Tensor]:
        return _padded(self.rows, self.columns, self.values, self.outputs)

    @cached_property
    def _by_column(self) -> tuple[Tensor, Tensor]:
        order = torch.argsort(self.columns, stable=True)
        return _padded(self.columns[order], self.rows[order], self.values[order], self.inputs)

    def apply(self, x: Tensor, *, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
        result = _gather(x, *self._by_row)
        return result if bias is None else result.add_(bias)

    def transpose(self, y: Tensor, *, out: Tensor | None = None) -> Tensor:
        return _gather(y, *self._by_column)

    def after(self, first: Sparse) -> Sparse:
        """Return the product of this matrix and `first`: each entry (row, k) meets row k of `first`."""
        lengths = torch.bincount(first.rows, minlength=first.outputs)
        starts, meets = lengths.cumsum(0) - lengths, lengths[self.columns]
        mine = torch.arange(self.stored, device=meets.device).repeat_interleave(meets)
        place = torch.arange(mine.shape[0], device=meets.device) - (meets.cumsum(0) - meets)[mine]
        theirs = starts[self.columns[mine]] + place
        products = self.values[mine] * first.values[theirs]
        return Sparse.from_triplets(
            self.rows[mine], first.columns[theirs], products, outputs=self.outputs, inputs=first.inputs
        )

    def scale_rows(self, scale: Tensor) -> Sparse:
        """Return the matrix with one scale for each row, shape (outputs,)."""
        return self._with_values(self.values * scale[self.rows])

    def scale_columns(self, scale: Tensor) -> Sparse:
        """Return the matrix with one scale for each column, shape (inputs,)."""
        return self._with_values(self.values * scale[self.columns])

    def absolute(self) -> Sparse:
        return self._with_values(self.values.abs())

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Sparse:
        rows, columns = self.rows.to(device=device), self.columns.to(device=device)
        return Sparse(rows, columns, self.values.to(device=device, dtype=dtype), self.shape)

    def is_finite(self) -> bool:
        return bool(torch.isfinite(self.values).all())

    def _with_values(self, values: Tensor) -> Sparse:
        return Sparse(self.rows, self.columns, values, self.shape)


def _padded(rows: Tensor, columns: Tensor, values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return columns and values as tables (longest row, count); places past a row's end repeat it with value 0."""
    # The tables outlive the call, and what is made in inference mode could never meet autograd again.
    with torch.inference_mode(False):
        lengths = torch.bincount(rows, minlength=count)
        starts = lengths.cumsum(0) - lengths
        longest = max(int(lengths.max()), 1)
        place = torch.arange(rows.shape[0], device=rows.device) - starts[rows]
        first = rows.new_zeros(count)
        first[rows[place == 0]] = columns[place == 0]
        index, weight = first.repeat(longest, 1), values.new_zeros(longest, count)
        index[place, rows], weight[place, rows] = columns, values
        return index, weight


def _gather(x: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Return the sums of weighted entries, shape (batch, count), for tables of shape (terms, count)."""
    if index.shape[0] > 16:  # from here on one gather of everything is faster than one for each term
        entries = x.index_select(1, index.flatten()).view(-1, *index.shape)
        return (entries * weight).sum(1)
    result = x.index_select(1, index[0]) * weight[0]
    for column, factor in zip(index[1:], weight[1:], strict=True):
        result.addcmul_(x.index_select(1, column), factor)
    return result


@dataclass(frozen=True, eq=False)
class Composition(LinearOperator):
    """Operators applied one after the other, the first one first."""

    operators: tuple[LinearOperator, ...]

    @property
    def inputs(self) -> int:
        return self.operators[0].inputs

    @property
    def outputs(self) -> int:
        return self.operators[-1].outputs

    @property
    def terms(self) -> int:
        return sum(operator.terms for operator in self.operators)

    def apply(self, x: Tensor, *, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
        for operator in self.operators[:-1]:
            x = operator.apply(x)
        return self.operators[-1].apply(x, bias=bias, out=out)

    def transpose(self, y: Tensor, *, out: Tensor | None = None) -> Tensor:
        for operator in self.operators[:0:-1]:
            y = operator.transpose(y)
        return self.operators[0].transpose(y, out=out)

    def absolute(self) -> Composition:
        return Composition(tuple(operator.absolute() for operator in self.operators))

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Composition:
        return Composition(tuple(operator.to(device=device, dtype=dtype) for operator in self.operators))

    def is_finite(self) -> bool:
        return all(operator.is_finite() for operator in self.operators)


@dataclass(frozen=True, eq=False)
class PerProblem(LinearOperator):
    """One row for each problem: block p of the batch is multiplied by row p.

    It is the last affine map once an objective for each problem is folded into it: the batch holds the
    walkers of problem 0, then those of problem 1, and so on.

    Parameters
    ----------
    weight
        Shape (problems, inputs).
    """

    weight: Tensor

    @property
    def inputs(self) -> int:
        return self.weight.shape[1]

    @property
    def outputs(self) -> int:
        return 1

    @property
    def terms(self) -> int:
        return self.inputs

    def apply(self, x: Tensor, *, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
        if self.weight.shape[0] == 1:
            product = torch.mm(x, self.weight.t(), out=out)
        else:
            blocks = x.view(self.weight.shape[0], -1, self.inputs)
            product = torch.bmm(blocks, self.weight.unsqueeze(2)).view(-1, 1)
        return product if bias is None else product.add_(bias)

    def transpose(self, y: Tensor, *, out: Tensor | None = None) -> Tensor:
        blocks = y.view(self.weight.shape[0], -1, 1)
        return torch.mul(blocks, self.weight.unsqueeze(1)).view(-1, self.inputs)

    def rows(self, batch: int) -> Tensor:
        """Return the row of each walker, shape (batch, inputs), without a product."""
        problems = self.weight.shape[0]
        if problems == 1:
            return self.weight.expand(batch, -1)
        return self.weight.repeat_interleave(batch // problems, dim=0)

    def absolute(self) -> PerProblem:
        return PerProblem(self.weight.abs())

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> PerProblem:
        return PerProblem(self.weight.to(device=device, dtype=dtype))

    def is_finite(self) -> bool:
        return bool(torch.isfinite(self.weight).all())


def compose(first: LinearOperator, second: LinearOperator) -> LinearOperator:
    """Return `second` after `first`, folded into one operator where that is not more work."""
    if isinstance(first, Composition):
        tail = compose(first.operators[-1], second)
        return _chain(*first.operators[:-1], tail)
    if isinstance(second, Composition):
        return _chain(compose(first, second.operators[0]), *second.operators[1:])
    folded = None
    if isinstance(first, Diagonal):
        folded = _fold_scale_before(first.scale, second)
    if folded is None and isinstance(second, Diagonal):
        folded = _fold_scale_after(first, second.scale)
    if folded is None and isinstance(first, Dense) and isinstance(second, Dense):
        separate = first.outputs * (first.inputs + second.outputs)
        if first.inputs * second.outputs <= separate:
            folded = Dense(second.weight @ first.weight)
    if isinstance(first, Sparse) and isinstance(second, Sparse):
        product = second.after(first)
        if product.stored <= first.stored + second.stored:
            folded = product
    return _chain(first, second) if folded is None else folded


def _chain(*operators: LinearOperator) -> Composition:
    flat: list[LinearOperator] = []
    for operator in operators:
        flat.extend(operator.operators if isinstance(operator, Composition) else [operator])
    return Composition(tuple(flat))


def _fold_scale_before(scale: Tensor, operator: LinearOperator) -> LinearOperator | None:
    if bool((scale == 1).all()):
        return operator
    if isinstance(operator, Diagonal):
        return Diagonal(scale * operator.scale)
    if isinstance(operator, Dense):
        return Dense(operator.weight * scale)
    if isinstance(operator, Sparse):
        return operator.scale_columns(scale)
    if isinstance(operator, Convolution):
        channels = _one_each(scale, operator.input_shape[0])
        return None if channels is None else operator.scale_inputs(channels)
    return None


def _fold_scale_after(operator: LinearOperator, scale: Tensor) -> LinearOperator | None:
    if bool((scale == 1).all()):
        return operator
    if isinstance(operator, Dense):
        return Dense(operator.weight * scale[:, None])
    if isinstance(operator, Sparse):
        return operator.scale_rows(scale)
    if isinstance(operator, Convolution):
        channels = _one_each(scale, operator.output_shape[0])
        return None if channels is None else operator.scale_outputs(channels)
    return None


def _one_each(scale: Tensor, channels: int) -> Tensor | None:
    """Return the scale of each channel, or None where it differs within one."""
    scale = scale.reshape(channels, -1)
    return scale[:, 0] if bool((scale == scale[:, :1]).all()) else None
