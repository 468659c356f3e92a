"""Verification of properties: a proof, a witness that the model confirms, or no decision."""

from __future__ import annotations

from relu_attack.verification._claim import Claim
from relu_attack.verification._reference_model import ReferenceModel
from relu_attack.verification._verify import TIME_LIMIT, check_bounds, make_budget, nothing_known, verify, verify_claims

__all__ = [
    "TIME_LIMIT",
    "Claim",
    "ReferenceModel",
    "check_bounds",
    "make_budget",
    "nothing_known",
    "verify",
    "verify_claims",
]
