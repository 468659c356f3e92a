"""Problems as linear and mixed-integer programs: the exact model of a network over a set, its relaxation, and cuts."""

from relu_attack.encodings.big_m import count_entries, encode
from relu_attack.encodings.cuts import Cuts, separate
from relu_attack.encodings.encoding import Encoding, Ranges
from relu_attack.encodings.neighborhood import Neighborhood, neighborhood
from relu_attack.encodings.root import TightenedRoot, tighten_root

__all__ = [
    "Cuts",
    "Encoding",
    "Neighborhood",
    "Ranges",
    "TightenedRoot",
    "count_entries",
    "encode",
    "neighborhood",
    "separate",
    "tighten_root",
]
