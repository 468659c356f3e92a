"""Batched gradient ascent over a set: step rules, restarts, and the walks that are made of them."""

from relu_attack.solvers.ascent._affordable import affordable
from relu_attack.solvers.ascent._annealing import Annealing
from relu_attack.solvers.ascent._base import Walk, WalkOptions
from relu_attack.solvers.ascent._crossover import Crossing
from relu_attack.solvers.ascent._driver import finalists, search
from relu_attack.solvers.ascent._gradient_walk import GradientWalk
from relu_attack.solvers.ascent._initial_points import STARTS, settings_for_each, starting_points
from relu_attack.solvers.ascent._loop import run
from relu_attack.solvers.ascent._methods import first_point, gradient_walk, ppga, ppga_lr
from relu_attack.solvers.ascent._perturbation import PerturbationOptions
from relu_attack.solvers.ascent._ppga import PPGA
from relu_attack.solvers.ascent._ppga_lr import PPGALR, PPGALROptions
from relu_attack.solvers.ascent._scaled_problem import Prepared

__all__ = [
    "PPGA",
    "PPGALR",
    "STARTS",
    "Annealing",
    "Crossing",
    "GradientWalk",
    "PPGALROptions",
    "PerturbationOptions",
    "Prepared",
    "Walk",
    "WalkOptions",
    "affordable",
    "finalists",
    "first_point",
    "gradient_walk",
    "ppga",
    "ppga_lr",
    "run",
    "search",
    "settings_for_each",
    "starting_points",
]
