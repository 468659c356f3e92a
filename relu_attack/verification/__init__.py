"""Claims about a network over a set: verified with a proof, falsified with a witness, or left open."""

from __future__ import annotations

from relu_attack.verification._claim import Claim
from relu_attack.verification._reference_model import Original
from relu_attack.verification._verify import TIME_LIMIT, check_bounds, make_budget, verify, verify_claims

__all__ = ["TIME_LIMIT", "Claim", "Original", "check_bounds", "make_budget", "verify", "verify_claims"]
