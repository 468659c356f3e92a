"""Configuration files: a question to a model in YAML, checked as a whole before anything runs."""

from relu_attack.config.base import ConfigError
from relu_attack.config.configuration import Configuration, Question
from relu_attack.config.reading import load_configuration

__all__ = ["ConfigError", "Configuration", "Question", "load_configuration"]
