"""A bad configuration gives all its errors at once, each with its key."""

import re
from pathlib import Path
from typing import Any

import pytest

from relu_attack.config import ConfigError, load_configuration
from tests.config.examples import BALL, BOX, IMAGES, NAMED, POLYTOPE, errors, limits, output_limits


def test_all_wrong_outputs_come_at_once_with_their_keys(folder: Path) -> None:
    constraints = [{"expression": {"H3": 1, "N2": "x"}, "uper": 1}, {"expression": ["N2", "C"], "lower": 2, "upper": 1}]
    found = errors(folder, {"outputs": ["H2", "N2"], "output_constraints": constraints})
    assert found == [
        "output_constraints.0.expression.H3: 'H3' is no output; known are H2, N2",
        "output_constraints.0.expression.N2: must be a number, got 'x'",
        "output_constraints.0.uper: is no key here; did you mean 'upper'?",
        "output_constraints.1.expression.C: 'C' is no output; known are H2, N2",
    ]
    constraints = [{"expression": {2: 1, 5: 1}, "upper": 1}, {"expression": [3], "upper": 1}]
    assert len(errors(folder, {"output_constraints": constraints})) == 3


def test_all_wrong_names_of_whole_inputs_come_at_once(folder: Path) -> None:
    wrong = {"integer": ["snad", "age", 2, 3, True], "one_hot": [["lime", "sad"], "sand", ["age"]]}
    found = errors(folder, {**NAMED, "domain": BOX | wrong, "seed": -1})
    for expected in (
        "domain.integer.0: 'snad' is no input; did you mean 'sand'?",
        "domain.integer.2: 2 is listed twice",
        "domain.integer.3: 3 is no index; there are 3 inputs, from 0",
        "domain.integer.4: must be the name or the index of an input, got True",
        "domain.one_hot.0.1: 'sad' is no input; did you mean 'sand'?",
        "domain.one_hot.1: must be a list of names or indices of inputs, got 'sand'",
        "seed: should be greater than or equal to 0, got -1",
    ):
        assert expected in found
    assert len(found) == 7


def test_overrides_that_fit_nowhere_are_errors(folder: Path) -> None:
    found = errors(folder, {"domain": POLYTOPE | {"constraints": []}}, {"seed.x": 1, "domain.constraints.2.upper": 3})
    assert "domain.constraints.2.upper: '2' is no index into the 0 entries of domain.constraints" in found
    found = errors(folder, {"seed": 1}, {"seed.x": 1})
    assert found == ["seed.x: seed is 1, which has no keys"]


def test_all_errors_come_at_once_with_their_keys(folder: Path) -> None:
    found = errors(
        folder,
        {
            "model": {"file": "none.safetensors", "archtecture": "x"},
            **NAMED,
            "domain": {
                "kind": "polytope",
                "lower": {"snad": 0, "lime": "few"},
                "constraints": [
                    {"expression": {"san": 1}, "upper": 1},
                    {"expression": ["lime"]},
                    {"ratio": {"of": ["lime"]}},
                ],
            },
            "objective": {"margin": {"target": 1}},
            "sense": "up",
            "method": "ppga_rl",
            "restarts": 0,
            "iterations": 1.5,
            "time_limit": True,
            "starts": "corner",
            "device": "gpu",
            "ouput": {},
            "output": {"figure": "x.bmp"},
            "report": {"kind": "recipee"},
        },
    )
    for expected in (
        "model.file: .*none.safetensors does not exist",
        "model.archtecture: is no key here; did you mean 'architecture'",
        "domain.lower.snad: is no input; did you mean 'sand'",
        "domain.lower.lime: must be a number, got 'few'",
        "domain.constraints.0.expression.san: is no input; did you mean 'sand'",
        "domain.constraints.1: has no limit",
        "domain.constraints.2.ratio.to: is missing",
        "objective.margin.label: is missing",
        "sense: should be 'maximize' or 'minimize', got 'up'",
        "method: is 'ppga_rl'; did you mean 'ppga_lr'",
        "restarts: should be greater than or equal to 1, got 0",
        "iterations: should be a valid integer, got 1.5",
        "time_limit: must be a number, got True",
        "starts: is 'corner'; did you mean 'corners'",
        "device: is 'gpu'; it must be a device of torch that is here",
        "ouput: is no key here; did you mean 'output'",
        "output.figure: x.bmp must end in .png",
        "report: has the kind 'recipee'; did you mean 'recipe'",
    ):
        assert sum(bool(re.match(expected, problem)) for problem in found) == 1, expected
    assert len(found) == 18


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"domain": None}, "domain: must be a mapping with a key kind: box, linf_ball"),
        ({"domain": {"kind": "bax"}}, "domain: has the kind 'bax'; did you mean 'box'"),
        ({"domain": {"kind": "box", "lower": 0}}, "domain.upper: is missing"),
        ({"domain": {"kind": "box", "lower": 0, "upper": 1}}, "domain: Box lower and upper are both numbers"),
        ({"domain": BOX | {"upper": [1, -1, 1]}}, "domain: Box is empty: lower is above upper at index 1"),
        ({"domain": BOX | {"integer": ["sand"]}}, "domain.integer.0: 'sand' is a name, but the inputs have no names"),
        ({"domain": BOX | {"integer": [3]}}, "domain: Box integer has the index 3; give a list of flat indices from 0"),
        ({"domain": BOX | {"one_hot": [[0, 1], [1], [2, 0]]}}, "domain.one_hot: group 1 has 1 .* input 0 is in more"),
        (
            {**NAMED, "domain": BOX | {"lower": 0.5, "upper": [0.9, 1, 1], "integer": [0]}},
            r"domain: Box is empty: input 0 \(sand\) must be a whole number, but there is none between 0.5 and 0.9",
        ),
        (
            {**NAMED, "domain": POLYTOPE | {"upper": 2, "one_hot": [["lime", "age"]]}},
            r"domain: Polytope input 1 \(lime\) is in one_hot group 0, but its bounds are 0 and 2",
        ),
        (
            limits(lower=0.2, upper=0.7) | {"domain": {**limits(lower=0.2, upper=0.7)["domain"], "integer": ["sand"]}},
            "domain: Polytope has points, but none with whole numbers at its integer inputs 0",
        ),
        ({"domain": BOX | {"lower": {"sand": 0}}}, "domain.lower: gives numbers by name, but the inputs have no names"),
        ({**NAMED, "domain": BOX | {"lower": {"sand": 0}}}, "domain.lower: leaves out lime, age"),
        ({**NAMED, "domain": POLYTOPE | {"upper": {"age": -3}}}, "domain.upper: -3 is below the lower bound 0 of age"),
        ({"domain": BOX | {"upper": {"file": "arrays.safetensors"}}}, "domain.upper: .* holds several arrays.*a, b"),
        ({"domain": BOX | {"upper": {"file": "arrays.safetensors", "key": "A"}}}, "domain.upper: .* no array 'A'"),
        ({"domain": BOX | {"upper": {"file": "arrays.safetensors", "key": "b", "index": 2}}}, "domain.upper: .*range"),
        ({"domain": BOX | {"upper": {"file": "model.yaml"}}}, "domain.upper.file: .* does not exist"),
        ({"domain": BOX | {"upper": {"file": "question.yaml"}}}, "domain.upper: .* must end in .safetensors, .npz"),
        ({"domain": BOX | {"upper": [[1], [1, 2]]}}, "domain.upper: must be a list of numbers"),
        ({"domain": BOX | {"upper": [1, float("nan"), 1]}}, "domain.upper: holds NaN"),
        ({"inputs": "sand"}, "inputs: must be a list of names"),
        (limits(lower=2, upper=1), "domain.constraints.0: has lower 2 above upper 1"),
        (limits(lower=2, equals=1), "domain.constraints.0: has both equals and lower or upper"),
        (limits(), "domain.constraints.0: has no limit"),
        (limits(upper=1, ratio={"of": ["age"], "to": ["lime"]}), "domain.constraints.0: needs either an expression or"),
        (limits(upper=1, expression="sand"), "domain.constraints.0.expression: must be names of inputs with their"),
        (
            limits(lower=-1, expression=None, name="odd", ratio={"of": ["age"], "to": {"lime": 1, "sand": -1}}),
            "domain: the divisor of odd is -1 at a point of the set; it must not be negative",
        ),
        ({"report": {"file": "x"}}, "report: must be a mapping with a key kind: recipe, images"),
        ({"domain": BALL, "report": IMAGES}, "report: is on a single set, but the domain is a batch of 1"),
        (
            {"domain": BALL | {"center": [0, 0, 0]}, "report": IMAGES},
            r"report: one input has shape \(3,\); an image has",
        ),
        ({"inputs": ["a", "b"]}, "domain.lower: has 3 numbers, but there are 2 inputs"),
        ({"model": {}}, "model: needs either file"),
        ({"model": "model.safetensors"}, "model: must be a mapping with keys such as file, architecture, factory; got"),
        ({"model": {"factory": "no_such_module:f"}}, "model: no_such_module:f: importing"),
        ({"model": {"file": "arrays.safetensors", "architecture": [{"Linear": [3, 1]}]}}, "model: .* lacks the weight"),
        ({"model": {"file": "arrays.safetensors", "architecture": "x.yaml"}}, "model.architecture: .* does not exist"),
        ({"objective": {"output": 0, "linear": [1]}}, "objective: has more than one of"),
        ({"objective": {"output": -1}}, "objective.output: must be the name or the index of an output, got -1"),
        ({"objective": {"output": "H2"}}, "objective.output: 'H2' is a name, but the outputs have no names; list them"),
        (
            {"outputs": ["H2", "N2"], "objective": {"margin": {"target": "H3", "label": 0}}},
            "objective.margin.target: 'H3'",
        ),
        ({"outputs": ["H2"]}, "outputs: there are 1 names, but the model has 2 outputs"),
        ({"outputs": "H2"}, "outputs: must be a list of names, or a mapping of names to units"),
        (
            output_limits(upper=1, expression={0: 1, 2: 1}),
            "output_constraints.0.expression: 2 is no index; the model has 2",
        ),
        (
            output_limits(upper=1, expression=["N2"]),
            "output_constraints.0.expression.N2: 'N2' is a name, but the outputs",
        ),
        (
            output_limits(upper=1, expression={0: "much"}),
            "output_constraints.0.expression.0: must be a number, got 'much'",
        ),
        (output_limits(upper=1, expression=[1, 1]), "output_constraints.0.expression.1: 1 is listed twice"),
        (output_limits(upper=1, expression={}), "output_constraints.0.expression: must be names or indices of outputs"),
        (output_limits(upper=1, expression=3), "output_constraints.0.expression: must be names or indices of outputs"),
        (output_limits(), "output_constraints.0: has no limit; give lower, upper or both"),
        (output_limits(lower=2, upper=1), "output_constraints.0: has lower 2 above upper 1"),
        (
            output_limits(upper=float("inf")),
            "output_constraints.0: has upper inf; leave upper out where there is no limit",
        ),
        (output_limits(equals=1), "output_constraints.0.equals: is no key here"),
        (
            {"method": "ppga_lr", "options": {"learning_rat": 1}},
            "options.learning_rat: is no option of ppga_lr; did you mean 'learning_rate'",
        ),
        (
            {"method": "ppga_lr", "options": {"learning_rate": -1}},
            "options: learning_rate must be a positive number, got -1",
        ),
        ({"method": "milp", "options": {"solver": 3}}, "options: solver must be a word, got 3"),
        ({"method": "milp", "options": {"gap": "small"}}, "options: gap must be a number, got 'small'"),
        ({"method": "gradient_walk", "options": {"radius": 1}}, "options.radius: is no option of gradient_walk; known"),
        ({"bound": "exact"}, "bound: is 'exact'; known are interval"),
        ({"output": {"result": "."}}, "output.result: .* is a folder"),
        (
            {"report": {"kind": "recipe", "reference": "table.csv", "measured": "x"}},
            "report: kind recipe needs the names",
        ),
        (
            {**NAMED, "report": {"kind": "recipe", "reference": "table.csv", "measured": "x"}},
            "report: .* no column 'x'",
        ),
        ({"report": {"kind": "images", "file": "x.png"}}, "report: kind images needs a ball"),
        ("model: [", "is not YAML: line 1: "),
        ("model: {}\nmodel: {}\n", "is not YAML: line 2: the key 'model' is given twice"),
        ("hello", "must be a mapping with the keys model, domain"),
    ],
)
def test_each_mistake_has_its_message(folder: Path, content: Any, expected: str) -> None:
    (found,) = errors(folder, content)
    assert re.match(expected, found), found


def test_infeasible_rows_have_the_name_of_their_constraint(folder: Path) -> None:
    constraints = [
        {"name": "all of it", "expression": ["sand", "lime"], "upper": 1.5},
        {"name": "the budget", "expression": ["sand", "lime", "age"], "upper": -1},
    ]
    (found,) = errors(folder, {**NAMED, "domain": POLYTOPE | {"constraints": constraints}})
    assert "the budget" in found


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.yaml: cannot be read: No such file"):
        load_configuration(tmp_path / "none.yaml")
