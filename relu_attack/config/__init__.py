"""Configuration files: optimization problems in YAML, validated completely before anything runs."""

from relu_attack.config._base import ConfigError
from relu_attack.config._configuration import Configuration, Question
from relu_attack.config._constraints import at_limit, reading_step
from relu_attack.config._domains import BallSection
from relu_attack.config._numbers import Array
from relu_attack.config._question import PICTURES, ImagesReport, ObjectiveSection, RecipeReport
from relu_attack.config._reading import load_configuration

__all__ = [
    "PICTURES",
    "Array",
    "BallSection",
    "ConfigError",
    "Configuration",
    "ImagesReport",
    "ObjectiveSection",
    "Question",
    "RecipeReport",
    "at_limit",
    "load_configuration",
    "reading_step",
]
