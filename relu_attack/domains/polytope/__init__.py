"""Polytopes: how they are given, reduced for walks, projected on, rounded to whole numbers, and bounded for proofs."""

from relu_attack.domains.polytope._polytope import Polytope

__all__ = ["Polytope"]
