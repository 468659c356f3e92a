"""Properties in VNN-LIB 1.0, and witnesses against them."""

from relu_attack.io.vnnlib._claims import claims_of
from relu_attack.io.vnnlib._property import Case, Polyhedron, Property
from relu_attack.io.vnnlib._reader import parse_vnnlib, read_vnnlib
from relu_attack.io.vnnlib._witness import format_witness, read_witness, write_witness

__all__ = [
    "Case",
    "Polyhedron",
    "Property",
    "claims_of",
    "format_witness",
    "parse_vnnlib",
    "read_vnnlib",
    "read_witness",
    "write_witness",
]
