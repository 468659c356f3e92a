"""Problems of the search benchmark, each made from a kind and a seed: a trained network, a set, what is maximized."""

from problems.kinds import KINDS, REPORTING, TUNING, load, prepare
from problems.problem import Problem
from problems.region import Region

__all__ = ["KINDS", "REPORTING", "TUNING", "Problem", "Region", "load", "prepare"]
