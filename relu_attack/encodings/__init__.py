"""Encodings of problems as programs: the exact big-M model, its triangle relaxation, cuts, and neighbourhoods."""

from relu_attack.encodings._big_m import count_entries, encode
from relu_attack.encodings._coefficients import combination_error, row_error
from relu_attack.encodings._cuts import Cuts, separate
from relu_attack.encodings._encoding import Encoding, Ranges
from relu_attack.encodings._neighborhood import Neighborhood, neighborhood
from relu_attack.encodings._root import TightenedRoot, tighten_root

__all__ = [
    "Cuts",
    "Encoding",
    "Neighborhood",
    "Ranges",
    "TightenedRoot",
    "combination_error",
    "count_entries",
    "encode",
    "neighborhood",
    "row_error",
    "separate",
    "tighten_root",
]
