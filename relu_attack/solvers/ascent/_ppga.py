"""PPGA: projected gradient ascent with perturbation of stalled walkers."""

from __future__ import annotations

from relu_attack.solvers.ascent._perturbed_walk import PerturbedWalk


class PPGA(PerturbedWalk):
    """Perturbed projected gradient ascent.

    Gradient Walk with one rule more: a walker that stalls goes on from ``P_X(x_best + rho w u)``, u Gaussian, w the
    widths of the set; rho grows while it falls back, and is reset on gain. Of walkers that share a maximum one
    begins elsewhere. Source: arXiv 2512.24295.
    """
