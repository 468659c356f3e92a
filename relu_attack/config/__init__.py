"""Configuration files: optimization problems in YAML, validated completely before anything runs."""

from relu_attack.config._base import ConfigError
from relu_attack.config._configuration import Configuration, LoadedProblem
from relu_attack.config._constraints import at_limit, reading_step
from relu_attack.config._domains import BallSection
from relu_attack.config._numbers import Array
from relu_attack.config._reading import load_configuration
from relu_attack.config._sections import PICTURES, ImagesReport, ObjectiveSection, RecipeReport

__all__ = [
    "PICTURES",
    "Array",
    "BallSection",
    "ConfigError",
    "Configuration",
    "ImagesReport",
    "LoadedProblem",
    "ObjectiveSection",
    "RecipeReport",
    "at_limit",
    "load_configuration",
    "reading_step",
]
