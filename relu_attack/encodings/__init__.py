"""Problems as linear and mixed-integer programs: the exact model of a network over a set, and its relaxation."""

from relu_attack.encodings.big_m import encode
from relu_attack.encodings.encoding import Encoding, Ranges

__all__ = ["Encoding", "Ranges", "encode"]
