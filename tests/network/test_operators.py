"""Each operator is the linear map that its dense matrix is."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from relu_attack.errors import OptionError
from relu_attack.network.operators import (
    AxisOperator,
    Composition,
    Convolution,
    Dense,
    Diagonal,
    Kronecker,
    LinearOperator,
    PerProblem,
    Selection,
    Sparse,
    Stacked,
    Summed,
    UpcastDense,
    _convolution,
    _upcast_dense,
    add,
    compose,
    stack,
)
from relu_attack.network.operators._axis_operator import StridedRun

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-13}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def sparse(outputs: int, inputs: int, *, entries: int = 9, seed: int = 0) -> Sparse:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(outputs, (entries,), generator=generator)
    columns = torch.randint(inputs, (entries,), generator=generator)
    return Sparse.from_triplets(rows, columns, normal(entries, seed=seed), outputs=outputs, inputs=inputs)


conv1d = Convolution(normal(4, 3, 2), (3, 8), (2,), (1,), (2,))
conv2d = Convolution(normal(4, 1, 3, 2), (2, 6, 5), (2, 1), (1, 0), (1, 2), groups=2)
OPERATORS: dict[str, LinearOperator] = {
    "dense": Dense(normal(3, 5)),
    "diagonal": Diagonal(normal(4)),
    "conv1d": conv1d,
    "conv2d": conv2d,
    "conv2d that leaves entries over": Convolution(normal(1, 1, 2, 2), (1, 6, 5), (3, 3), (0, 0), (1, 1)),
    "sparse": sparse(4, 6),
    "sparse with an empty row and column": Sparse.from_triplets(
        torch.tensor([0, 3]), torch.tensor([2, 0]), normal(2), outputs=4, inputs=5
    ),
    "sparse with long rows": Sparse.from_triplets(
        torch.arange(40) % 2, torch.arange(40), normal(40), outputs=2, inputs=40
    ),
    "composition": Composition(
        (sparse(60, 10), conv2d, Diagonal(normal(conv2d.outputs)), Dense(normal(3, conv2d.outputs)))
    ),
    "along an axis": AxisOperator.from_entries(
        [(0, 0, 1.0), (1, 2, 1.0), (0, 1, -1.0), (1, 3, -1.0), (2, 1, 1.0), (3, 3, 1.0)], (5, 4), before=2, after=3
    ),
    "along an axis, out of step": AxisOperator.from_entries(
        [(3, 0, 0.5), (0, 2, -2.0), (1, 2, -2.0), (2, 5, 1.0), (0, 4, 1.0), (3, 4, 3.0)], (4, 7), before=3, after=1
    ),
    "matrix along the first dimension": Kronecker(normal(3, 4), before=1, after=5),
    "matrix along the last dimension": Kronecker(normal(3, 4), before=5, after=1),
    "matrix along the middle": Kronecker(normal(3, 4), before=2, after=3),
    "widened": UpcastDense(normal(5, 4).float()),
    "widened magnitudes": UpcastDense(normal(5, 4).float(), of_magnitudes=True),
    "one problem": PerProblem(normal(1, 5)),
    "selection": Selection(2, 3, 7),
    "selection of everything": Selection(0, 4, 4),
    "stacked": Stacked((Dense(normal(3, 6)), Selection(1, 4, 6), sparse(4, 6))),
    "stacked images": Stacked((conv2d, Selection(0, 60, 60))),
    "summed": Summed((Dense(normal(4, 6)), Selection(1, 4, 6), sparse(4, 6))),
    "sum of two selections": Summed((Selection(0, 4, 9), Selection(5, 4, 9))),
    "summed images": Summed(
        (
            Composition((Selection(5, 60, 70), conv2d)),
            Composition((sparse(60, 70), conv2d, Diagonal(normal(conv2d.outputs)))),
        )
    ),
    "composition of what is summed and stacked": Composition(
        (Summed((Dense(normal(4, 6)), sparse(4, 6))), Stacked((Diagonal(normal(4)), Selection(1, 2, 4), sparse(3, 4))))
    ),
}


@pytest.fixture(params=OPERATORS.values(), ids=OPERATORS.keys())
def operator(request: pytest.FixtureRequest) -> LinearOperator:
    chosen: LinearOperator = request.param
    return chosen


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_apply_and_transpose_are_products_with_the_matrix(
    operator: LinearOperator, dtype: torch.dtype, device: torch.device
) -> None:
    matrix = operator.matrix()
    x, y, bias = normal(7, operator.inputs), normal(7, operator.outputs, seed=1), normal(operator.outputs, seed=2)
    moved = operator.to(device=device, dtype=dtype)
    tolerance = TOLERANCE[dtype] * max(1.0, float(matrix.abs().sum()))

    def check(actual: Tensor, expected: Tensor) -> None:
        assert actual.dtype == dtype
        assert actual.device.type == device.type
        torch.testing.assert_close(actual.cpu().double(), expected, rtol=0, atol=tolerance)

    x_there, y_there, bias_there = (tensor.to(device, dtype) for tensor in (x, y, bias))
    check(moved.apply(x_there), x @ matrix.T)
    check(moved.apply(x_there, bias=bias_there), x @ matrix.T + bias)
    check(moved.transpose(y_there), y @ matrix)
    check(moved.apply(x_there, bias=bias_there, out=torch.empty_like(y_there)), x @ matrix.T + bias)
    check(moved.transpose(y_there, out=torch.empty_like(x_there)), y @ matrix)
    torch.testing.assert_close(bias_there.cpu().double(), bias.to(dtype).double(), rtol=0, atol=0)


def test_a_batch_of_no_points_has_no_images(operator: LinearOperator) -> None:
    assert operator.apply(torch.zeros(0, operator.inputs, dtype=torch.float64)).shape == (0, operator.outputs)
    assert operator.transpose(torch.zeros(0, operator.outputs, dtype=torch.float64)).shape == (0, operator.inputs)


def test_matrix_has_the_declared_shape(operator: LinearOperator) -> None:
    assert operator.matrix().shape == (operator.outputs, operator.inputs)


def test_terms_is_at_least_the_longest_row(operator: LinearOperator) -> None:
    assert operator.row_nnz >= int((operator.matrix() != 0).sum(1).max())


def test_transpose_terms_is_at_least_the_longest_column(operator: LinearOperator) -> None:
    assert operator.column_nnz >= int((operator.matrix() != 0).sum(0).max())


def test_rows_are_those_of_the_matrix(operator: LinearOperator) -> None:
    if isinstance(operator, PerProblem) and len(operator.weight) > 1:
        pytest.skip("the rows of several problems are not one matrix")
    index = torch.tensor([[0, operator.outputs - 1], [operator.outputs // 2, 0]])
    rows = operator.to(dtype=torch.float64).rows_of(index, dtype=torch.float64)
    torch.testing.assert_close(rows, operator.matrix()[index])


def test_entries_name_each_place_of_the_matrix_once(operator: LinearOperator) -> None:
    rows, columns, values = operator.triplets()
    matrix = operator.matrix()
    assert len(set(zip(rows.tolist(), columns.tolist(), strict=True))) == len(values)
    scattered = torch.zeros_like(matrix)
    scattered[rows, columns] = values
    torch.testing.assert_close(scattered, matrix, rtol=0, atol=1e-12)


def test_entries_of_a_convolution_are_only_those_inside_the_image() -> None:
    # Three outputs of a kernel of 3 over a padded image of 3: the outer two see two pixels each.
    operator = Convolution(normal(1, 1, 3), (1, 3), (1,), (1,), (1,))
    assert len(operator.triplets()[2]) == 2 + 3 + 2


def test_entries_of_a_composition_of_sparse_maps_stay_sparse() -> None:
    pooled = Composition((conv2d, sparse(7, conv2d.outputs, entries=14)))
    rows, _, values = pooled.triplets()
    assert len(values) <= 14 * conv2d.row_nnz
    assert bool((rows < 7).all())


@pytest.mark.parametrize("stride", [(1, 1), (2, 3)])
@pytest.mark.parametrize("padding", [(0, 0), (2, 1)])
@pytest.mark.parametrize("dilation", [(1, 1), (1, 2)])
def test_a_convolution_of_a_large_image_is_a_sum_over_the_places_of_its_kernel(
    stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = Convolution(normal(4, 3, 3, 2), (3, 8, 9), stride, padding, dilation)
    x, by_channel, by_place = normal(2, operator.inputs), normal(4), normal(operator.outputs)
    expected = [operator.apply(x, bias=bias) for bias in (None, by_channel, by_place)]
    monkeypatch.setattr(_convolution, "_MAX_WINDOW_ENTRIES", 0)
    for bias, wanted in zip((None, by_channel, by_place), expected, strict=True):
        torch.testing.assert_close(operator.apply(x, bias=bias), wanted, rtol=0, atol=1e-12)


def test_regular_entries_are_few_runs() -> None:
    pairs = [(row, 2 * row + side, sign) for side, sign in ((0, 1.0), (1, -1.0)) for row in range(100)]
    assert len(AxisOperator.from_entries(pairs, (100, 200), before=1, after=1).runs) == 2


def test_a_widened_matrix_is_in_float64_what_a_copy_would_be_and_in_float32_the_same_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_upcast_dense, "_BLOCK", 8)  # two rows at once, and one that is left over
    weight, x, y = normal(5, 4).float(), normal(3, 4), normal(3, 5)
    kept, copy = UpcastDense(weight), Dense(weight.double())
    torch.testing.assert_close(kept.apply(x, bias=y[0]), copy.apply(x, bias=y[0]), rtol=0, atol=1e-14)
    torch.testing.assert_close(kept.transpose(y), copy.transpose(y), rtol=0, atol=1e-14)
    # Autograd comes back to every block.
    x.requires_grad_(), y.requires_grad_()
    (forth,) = torch.autograd.grad(kept.apply(x).sum(), x)
    (back,) = torch.autograd.grad(kept.transpose(y).sum(), y)
    torch.testing.assert_close(forth, copy.weight.sum(0).expand(3, -1))
    torch.testing.assert_close(back, copy.weight.sum(1).expand(3, -1))
    single = kept.to(dtype=torch.float32)
    assert isinstance(single, Dense)
    assert single.weight.data_ptr() == weight.data_ptr()


def test_rows_of_several_problems_have_no_entries_of_one_matrix() -> None:
    with pytest.raises(OptionError, match="rows of 3 problems are not one matrix; use one problem at a time"):
        PerProblem(normal(3, 5)).triplets()


def test_absolute_is_entry_by_entry_and_an_upper_bound_for_a_composition_or_a_sum(operator: LinearOperator) -> None:
    absolute, expected = operator.absolute().matrix(), operator.matrix().abs()
    if isinstance(operator, Composition | Summed):
        assert bool((absolute >= expected - 1e-12).all())
    else:
        assert torch.equal(absolute, expected)


def coefficients_of(operator: LinearOperator) -> list[LinearOperator]:
    """Return the parts of an operator that hold coefficients."""
    if isinstance(operator, Composition | Stacked | Summed):
        return [part for each in operator.operators for part in coefficients_of(each)]
    return [] if isinstance(operator, Selection) else [operator]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_is_finite_sees_one_bad_coefficient(operator: LinearOperator, bad: float) -> None:
    assert operator.is_finite()
    parts = coefficients_of(operator)
    if not parts:
        pytest.skip("it has no coefficients")
    first = parts[-1]
    if isinstance(first, AxisOperator):
        assert not AxisOperator(
            (StridedRun(bad, 1, 0, 0), *first.runs[1:]), first.shape, first.before, first.after
        ).is_finite()
        return
    coefficients = "values" if isinstance(first, Sparse) else "weight"
    spoilt: Tensor = vars(first)[coefficients]
    kept = spoilt.flatten()[-1].item()
    spoilt.view(-1)[-1] = bad
    try:
        assert not operator.is_finite()
    finally:
        spoilt.view(-1)[-1] = kept


def test_works_in_inference_mode_and_under_autograd_afterwards(operator: LinearOperator) -> None:
    fresh = operator.to(dtype=torch.float64)
    x, y = normal(2, operator.inputs), normal(2, operator.outputs)
    with torch.inference_mode():
        fresh.transpose(y), fresh.apply(x)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad((fresh.apply(x) * y).sum(), x)
    torch.testing.assert_close(gradient, fresh.transpose(y))


def test_convolution_is_the_one_of_torch() -> None:
    x = normal(3, *conv2d.input_shape)
    expected = functional.conv2d(x, conv2d.weight, None, (2, 1), (1, 0), (1, 2), 2)
    assert conv2d.output_shape == tuple(expected.shape[1:])
    torch.testing.assert_close(conv2d.apply(x.flatten(1)), expected.flatten(1))


def test_sparse_adds_up_entries_of_the_same_place() -> None:
    place = torch.tensor([1, 1, 0])
    operator = Sparse.from_triplets(place, place, torch.tensor([2.0, 3.0, 7.0]), outputs=2, inputs=2)
    assert operator.matrix(dtype=torch.float32).tolist() == [[7.0, 0.0], [0.0, 5.0]]
    assert operator.stored == 2


def test_sparse_keeps_an_infinite_entry_away_from_rows_that_do_not_use_it() -> None:
    operator = Sparse.from_triplets(
        torch.tensor([0, 1, 1]), torch.tensor([1, 1, 2]), torch.ones(3), outputs=2, inputs=3
    )
    assert operator.apply(torch.tensor([[torch.inf, 1.0, 2.0]])).tolist() == [[1.0, 3.0]]


def test_per_problem_gives_each_block_of_walkers_its_own_row() -> None:
    weight, x = normal(3, 5), normal(6, 5, seed=1)
    operator = PerProblem(weight)
    rows = weight.repeat_interleave(2, 0)
    y = normal(6, 1, seed=2)
    torch.testing.assert_close(operator.apply(x), (x * rows).sum(1, keepdim=True))
    torch.testing.assert_close(operator.transpose(y), y * rows)
    assert torch.equal(operator.rows(6), rows)


FOLDS = {
    "diagonal, diagonal": (Diagonal(normal(5)), Diagonal(normal(5, seed=1)), Diagonal),
    "diagonal, dense": (Diagonal(normal(5)), Dense(normal(3, 5)), Dense),
    "dense, diagonal": (Dense(normal(3, 5)), Diagonal(normal(3)), Dense),
    "wide dense pair": (Dense(normal(5, 4)), Dense(normal(3, 5)), Dense),
    "narrow dense pair": (Dense(normal(1, 9)), Dense(normal(9, 1)), Composition),
    "diagonal, sparse": (Diagonal(normal(6)), sparse(4, 6), Sparse),
    "sparse, diagonal": (sparse(4, 6), Diagonal(normal(4)), Sparse),
    "sparse, sparse": (sparse(7, 6), sparse(3, 7, seed=1), Sparse),
    "sparse pair with a denser product": (
        Sparse.from_triplets(torch.zeros(4).long(), torch.arange(4), normal(4), outputs=1, inputs=4),
        Sparse.from_triplets(torch.arange(4), torch.zeros(4).long(), normal(4), outputs=4, inputs=1),
        Composition,
    ),
    "channel scales, convolution": (Diagonal(normal(2).repeat_interleave(30)), conv2d, Convolution),
    "entry scales, convolution": (Diagonal(normal(60)), conv2d, Composition),
    "convolution, channel scales": (
        conv2d,
        Diagonal(normal(4).repeat_interleave(conv2d.outputs // 4)),
        Convolution,
    ),
    "convolution, entry scales": (conv2d, Diagonal(normal(conv2d.outputs)), Composition),
    "identity, convolution": (Diagonal(torch.ones(24, dtype=torch.float64)), conv1d, Convolution),
    "convolution, identity": (conv1d, Diagonal(torch.ones(conv1d.outputs, dtype=torch.float64)), Convolution),
    "convolution, dense": (conv1d, Dense(normal(3, conv1d.outputs)), Composition),
    "composition, diagonal": (
        Composition((sparse(24, 5), conv1d)),
        Diagonal(normal(4).repeat_interleave(conv1d.outputs // 4)),
        Composition,
    ),
    "diagonal, composition": (Diagonal(normal(5)), Composition((sparse(24, 5), conv1d)), Composition),
}


@pytest.mark.parametrize(("first", "second", "kind"), FOLDS.values(), ids=FOLDS.keys())
def test_compose_is_the_product_and_folds_where_it_is_no_more_work(
    first: LinearOperator, second: LinearOperator, kind: type[LinearOperator]
) -> None:
    composed = compose(first, second)
    torch.testing.assert_close(composed.matrix(), second.matrix() @ first.matrix())
    assert type(composed) is kind
    if isinstance(composed, Composition):
        assert len(composed.operators) == 2
        assert not any(isinstance(operator, Composition) for operator in composed.operators)


def test_what_is_returned_is_no_view_of_what_is_given(operator: LinearOperator) -> None:
    x, y = normal(2, operator.inputs), normal(2, operator.outputs, seed=1)
    operator.apply(x).fill_(7.0)
    operator.transpose(y).fill_(7.0)
    assert torch.equal(x, normal(2, operator.inputs))
    assert torch.equal(y, normal(2, operator.outputs, seed=1))


def test_the_selection_of_everything_vanishes() -> None:
    whole = Selection(0, 5, 5)
    dense = Dense(normal(3, 5))
    assert compose(whole, dense) is dense
    assert compose(dense, Selection(0, 3, 3)) is dense


LONG = Composition((sparse(8, 5), Dense(normal(6, 8, seed=1))))
JOINS: dict[str, tuple[tuple[LinearOperator, ...], type[LinearOperator]]] = {
    "dense": ((Dense(normal(4, 5)), Dense(normal(4, 5, seed=1))), LinearOperator),
    "dense and selection": ((Dense(normal(4, 5)), Selection(1, 4, 5)), LinearOperator),
    "stacked": ((Stacked((Selection(1, 2, 5), Selection(0, 2, 5))), Dense(normal(4, 5))), LinearOperator),
    "summed": ((Summed((Selection(1, 4, 5), sparse(4, 5))), Selection(0, 4, 5)), LinearOperator),
    "the same": ((LONG, LONG), Composition),
    "the same at first": ((compose(LONG, sparse(4, 6)), compose(LONG, Selection(1, 4, 6))), Composition),
    "one of them longer": ((LONG, compose(LONG, sparse(6, 6))), Composition),
}


@pytest.mark.parametrize(("operators", "kind"), JOINS.values(), ids=JOINS.keys())
def test_what_is_stacked_or_added_is_so_and_common_steps_are_taken_once(
    operators: tuple[LinearOperator, ...], kind: type[LinearOperator]
) -> None:
    matrices = [operator.matrix() for operator in operators]
    for joined, expected in (
        (stack(operators), torch.cat(matrices)),
        (stack((*operators, Selection(0, 2, 5))), torch.cat([*matrices, Selection(0, 2, 5).matrix()])),
        (add(*operators), sum(matrices)),
    ):
        torch.testing.assert_close(joined.matrix(), expected)
        assert coefficients_of(joined).count(LONG.operators[1]) <= 1
    assert isinstance(stack(operators), kind)
    assert isinstance(add(*operators), kind)


def test_joined_operators_are_flat() -> None:
    first, second, third = Dense(normal(4, 5)), Selection(1, 4, 5), sparse(4, 5)
    stacked, summed = stack((stack((first, second)), third)), add(add(first, second), third)
    assert isinstance(stacked, Stacked)
    assert isinstance(summed, Summed)
    assert stacked.operators == summed.operators == (first, second, third)


def test_entries_are_coefficients_or_rounded() -> None:
    exact = Stacked((Dense(normal(3, 5)), Selection(0, 2, 5)))
    assert not exact.rounds_triplets
    for rounded in (Composition((exact, Dense(normal(2, 5)))), Summed((exact, exact))):
        assert rounded.rounds_triplets
        assert Stacked((exact, rounded)).rounds_triplets


def test_a_padded_grouped_convolution_folds_a_scale_of_its_inputs() -> None:
    module = nn.Conv2d(4, 6, 3, padding=1, groups=2, bias=False).double()
    operator = Convolution(module.weight.detach(), (4, 5, 5), (1, 1), (1, 1), (1, 1), groups=2)
    scale, x = normal(4), normal(2, 4, 5, 5)
    expected = module(x * scale.reshape(4, 1, 1)).flatten(1).detach()
    torch.testing.assert_close(operator.scale_inputs(scale).apply(x.flatten(1)), expected)
