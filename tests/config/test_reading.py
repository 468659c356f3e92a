"""A configuration says what is asked."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from relu_attack import Box, L1Ball, Linear, LInfBall, Margin, Output, Polytope, ReLUOptimizer
from relu_attack.config import ConfigError, load_configuration
from tests.config.examples import BOX, NAMED, POLYTOPE, load

ROOT = Path(__file__).parents[2]


def test_what_is_left_out_is_left_to_the_defaults(folder: Path) -> None:
    configuration, question = load(folder, {})
    assert configuration.arguments() == {}
    assert question.objective is None
    assert isinstance(question.domain, Box)


def test_what_is_given_is_passed_on(folder: Path) -> None:
    given = {"method": "ppga", "restarts": 3, "iterations": 5, "time_limit": 2.5, "seed": 4, "starts": "center"}
    configuration, question = load(folder, {**given, "options": {"learning_rate": "1e-3"}})
    assert configuration.arguments() == {**given, "learning_rate": 1e-3}
    result = ReLUOptimizer(question.model, question.domain).maximize(**configuration.arguments())
    assert result.iterations == 5
    assert result.evaluations == 15


@pytest.mark.parametrize(
    ("section", "kind"),
    [({"output": 1}, Output), ({"linear": [1, -1]}, Linear), ({"margin": {"target": 1, "label": 0}}, Margin)],
)
def test_objectives(folder: Path, section: dict[str, Any], kind: type) -> None:
    assert isinstance(load(folder, {"objective": section})[1].objective, kind)


def test_balls_around_a_row_of_a_file(folder: Path) -> None:
    center = {"file": "arrays.safetensors", "key": "a", "index": 0, "divide_by": 255}
    ball = {"kind": "linf_ball", "center": center, "radius": 0.1, "clip": [0, 1]}
    domain = load(folder, {"domain": ball})[1].domain
    assert isinstance(domain, LInfBall)
    torch.testing.assert_close(domain.lower, torch.tensor([0.0, 0.1, 0.3]).double())
    assert isinstance(load(folder, {"domain": {**ball, "kind": "l1_ball"}})[1].domain, L1Ball)


def test_numbers_by_name_and_from_tables(folder: Path) -> None:
    lower = {"age": -1, "sand": "-2", "lime": 0}
    upper = {"file": "table.csv", "index": 0}
    domain = load(folder, {**NAMED, "domain": {"kind": "box", "lower": lower, "upper": upper}})[1].domain
    assert isinstance(domain, Box)
    assert domain.lower.tolist() == [-2.0, 0.0, -1.0]
    assert domain.upper.tolist() == [0.5, 0.25, 1.0]


def test_constraints_in_words_become_rows(folder: Path) -> None:
    constraints = [
        {"expression": ["sand", "lime"], "lower": 0.5, "upper": 1.5},
        {"expression": {"age": 2}, "equals": 1},
        {"ratio": {"of": ["sand"], "to": ["sand", "lime"]}, "lower": 0.25, "upper": 0.5},
    ]
    section = {"kind": "polytope", "lower": {"sand": 0}, "upper": 1, "constraints": constraints}
    section |= {"A": {"file": "row.npy"}, "b": [2.5]}
    with pytest.raises(ConfigError, match="unbounded"):
        load(folder, {**NAMED, "domain": {**section, "constraints": [], "A": None, "b": None}})
    domain = load(folder, {**NAMED, "domain": section})[1].domain
    assert isinstance(domain, Polytope)
    rows = domain.linear_rows()
    assert rows.A.tolist() == [[1, 1, 1], [1, 1, 0], [-1, -1, 0], [0.5, -0.5, 0], [-0.75, 0.25, 0], [0, 0, 2]]
    assert rows.ub[:-1].tolist() == [2.5, 1.5, -0.5, 0, 0]
    assert rows.equation.tolist() == [False] * 5 + [True]
    points = domain.sample(50, generator=torch.Generator().manual_seed(0))
    share = points[:, 0] / points[:, :2].sum(1)
    assert bool(((share >= 0.25 - 1e-9) & (share <= 0.5 + 1e-9)).all())


@pytest.mark.parametrize("section", [BOX, POLYTOPE])
def test_whole_inputs_and_choices_are_listed_by_name_or_index(folder: Path, section: dict[str, Any]) -> None:
    domain = load(folder, {**NAMED, "domain": section | {"integer": ["age", 0], "one_hot": [["lime", 0]]}})[1].domain
    assert domain.integer == (0, 1, 2)
    assert domain.one_hot == ((1, 0),)
    assert load(folder, {"domain": section | {"shape": [3], "integer": [2]}})[1].domain.integer == (2,)


@pytest.mark.parametrize("names", [None, ["H2", "N2"], {"H2": "mol/s", "N2": None}])
def test_output_constraints_in_words_become_rows(folder: Path, names: Any) -> None:
    first, second = (0, 1) if names is None else ("H2", "N2")
    constraints = [
        {"name": "nitrogen", "expression": [second], "lower": -1, "upper": 0.34},
        {"expression": {first: 2, second: "-1e-1"}, "lower": 3},
    ]
    content = {"objective": {"output": first}, "output_constraints": constraints}
    configuration, question = load(folder, content | ({} if names is None else {"outputs": names}))
    assert question.output_constraints is not None
    assert question.output_constraints.matrix.tolist() == [[0, 1], [0, -1], [-2, 0.1]]
    assert question.output_constraints.upper.tolist() == [0.34, 1, -3]
    assert isinstance(question.objective, Output)
    outputs = np.array([5.0, 0.34])
    nitrogen, other = configuration.output_constraints
    assert (nitrogen.value(outputs), nitrogen.at_limit(outputs)) == (0.34, "upper limit")
    assert (other.value(outputs), other.at_limit(outputs)) == (pytest.approx(9.966), "")


def test_without_output_constraints_there_are_none(folder: Path) -> None:
    assert load(folder, {"outputs": ["H2", "N2"]})[1].output_constraints is None


def test_options_keep_their_kind_words_stay_words_and_numbers_may_be_written_as_text(folder: Path) -> None:
    options = {"solver": "HIGHS", "gap": "1e-4", "cut_rounds": 3}
    configuration, _ = load(folder, {"method": "milp", "options": options})
    assert configuration.arguments() == {"method": "milp", "solver": "HIGHS", "gap": 1e-4, "cut_rounds": 3}
    assert isinstance(configuration.options["cut_rounds"], int)


def test_paths_are_relative_to_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    configuration, _ = load(folder, {"output": {"result": "out/answer"}})
    assert configuration.output.result == folder / "out" / "answer"


def test_overrides_replace_values_and_make_sections(folder: Path) -> None:
    constraints = [{"expression": ["sand"], "upper": 0.9}]
    overrides = {"domain.constraints.0.upper": 0.5, "method": "ppga", "options.learning_rate": 0.1, "seed": 3}
    content = {**NAMED, "domain": {**POLYTOPE, "constraints": constraints}, "seed": 1}
    configuration, question = load(folder, content, overrides)
    assert question.domain.linear_rows().ub.tolist() == [0.5]
    assert configuration.arguments() == {"method": "ppga", "seed": 3, "learning_rate": 0.1}


@pytest.mark.parametrize("file", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda file: file.name)
def test_committed_configurations_are_good(file: Path) -> None:
    configuration, question = load_configuration(file)
    constraints = question.output_constraints
    optimizer = ReLUOptimizer(question.model, question.domain, question.objective, output_constraints=constraints)
    result = optimizer.maximize(**configuration.arguments() | {"iterations": 5, "restarts": 4, "time_limit": 0.5})
    assert float(result.violation) <= question.domain.tolerance
    assert f"`{file.name}`" in (file.parent / "README.md").read_text()
