"""The search for critical radii: attack and bounds of parts of the samples, then proofs of single ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from relu_attack._deadline import Deadline
from relu_attack.robustness._critical_answer import are_closed
from relu_attack.robustness._minimum_norm import MinimumNormAttack
from relu_attack.robustness._radius_proofs import bounded_radii, prove, wanted_radius
from relu_attack.robustness._radius_record import Radii
from relu_attack.robustness._radius_walk import vector_norm
from relu_attack.robustness._record import Record
from relu_attack.robustness._samples import Clip, PerturbationSets
from relu_attack.solvers import Budget

# Samples that are searched together, and written down together.
_PART = 64
# Share of the time for attack and bounds of all, where proofs follow; and of that for the attack.
_FIRST_PASS, _ATTACK = 0.5, 0.6
# Seconds of the first proof of a sample, at least, and as a share of an even part of the time; each further proof of it
# has twice as long. Of digits half are proven in a quarter of a second.
_FIRST_SECONDS, _FIRST_SHARE = 0.25, 1 / 8
# Seconds that a proof is worth, at least, and seconds between two records of proofs.
_LEAST_SECONDS, _RECORD_SECONDS = 0.05, 5.0


@dataclass(kw_only=True, eq=False)
class RadiusSearch:
    """A search over all samples.

    Attributes
    ----------
    attack
        The minimum-norm attack, with model, samples and labels.
    clip
        The clip box.
    tolerance
        Share of the upper end by which the ends of a sample may differ.
    certify
        Whether lower ends are wanted.
    record
        Where what is known is written down.
    budget
        The time.
    report
        Called with what is known after each part and each proof.
    radii
        What is known.
    """

    attack: MinimumNormAttack
    clip: Clip | None
    tolerance: float
    certify: bool
    record: Record
    budget: Budget
    report: Callable[[Radii], None]
    radii: Radii = field(init=False)

    def __post_init__(self) -> None:
        """Read what the record knows; its points count as far as the model itself confirms them."""
        attack = self.attack
        self.radii = Radii.none(attack.center)
        self._parts = torch.arange(len(attack.center), device=attack.center.device).split(_PART)
        for number, part in enumerate(self._parts):
            known = self.record.find(number, attack.center[part], attack.label[part])
            if known is not None:
                attack.offer(self.radii.breaks, part, self.radii.read(part, known))

    def run(self) -> None:
        """Search until every sample is closed, all is done or the time is up; what is found is left in `radii`."""
        try:
            self._first_pass()
            if self.certify and self.budget.time_limit is not None:
                self._proofs()
        except KeyboardInterrupt:
            self.budget.interruption.happened = True
        finally:
            self.radii.lower = torch.minimum(self.radii.lower, self.radii.upper)
            self._write(range(len(self._parts)))

    def open(self) -> Tensor:
        """Return which samples are not closed to the tolerance, boolean, shape (samples,)."""
        return ~are_closed(self.radii.lower, self.radii.upper, self.tolerance)

    def _first_pass(self) -> None:
        """Attack all samples and bound their radii, part by part."""
        deadline = self.budget.deadline.share(_FIRST_PASS if self.certify else 1.0)
        waiting = [number for number, part in enumerate(self._parts) if not bool(self.radii.searched[part].all())]
        left = sum(len(self._parts[number]) for number in waiting)
        for number in waiting:
            if self.budget.deadline.passed:
                return
            part, began = self._parts[number], time.perf_counter()
            within = deadline.share(len(part) / left)
            left -= len(part)
            self.attack.run(self.radii.breaks, part, within.share(_ATTACK if self.certify else 1.0))
            if self.certify:
                self._bound(part, within)
            self.radii.searched[part] = not within.passed
            self.radii.seconds[part] += (time.perf_counter() - began) / len(part)
            self._write([number])
            self.report(self.radii)

    def _bound(self, part: Tensor, deadline: Deadline) -> None:
        attack, upper = self.attack, self.radii.upper[part]
        logits = attack.classifier.logits(attack.center[part])
        far = torch.maximum(attack.center - attack.low, attack.high - attack.center)[part].double()
        most = vector_norm(far, attack.norm)
        size = 1 + vector_norm(attack.center[part].double(), attack.norm)
        reach = torch.where(torch.isfinite(upper), upper, torch.where(torch.isfinite(most), most, size))
        lower = bounded_radii(
            attack.classifier.network,
            self._sets,
            part,
            attack.label[part],
            upper=reach,
            clean=attack.margin(logits, part),
            wanted=wanted_radius(reach, self.tolerance),
            deadline=deadline,
        )
        self.radii.lower[part] = torch.maximum(self.radii.lower[part], lower)

    def _sets(self, index: Tensor, radius: Tensor) -> PerturbationSets:
        return PerturbationSets.around(self.attack.center[index], radius, self.attack.norm, self.clip)

    def _proofs(self) -> None:
        """Prove radii of open samples one by one, the closest first, in turns, until the time is up."""
        waiting = self.open() & torch.isfinite(self.radii.upper)
        seconds = max(_FIRST_SECONDS, _FIRST_SHARE * self.budget.left() / max(int(waiting.sum()), 1))
        halfway, written, changed = False, time.perf_counter(), set[int]()
        while bool(waiting.any()):
            order = (self.radii.lower / self.radii.upper).nan_to_num(0.0).argsort(descending=True)
            for sample in order[waiting[order]].tolist():
                if self.budget.left() <= _LEAST_SECONDS:
                    return
                began = time.perf_counter()
                self._prove(sample, self.budget.part(seconds=min(seconds, self.budget.left())), halfway=halfway)
                self.radii.seconds[sample] += time.perf_counter() - began
                changed.add(sample // _PART)
                if time.perf_counter() - written > _RECORD_SECONDS:
                    self._write(changed)
                    changed, written = set(), time.perf_counter()
                self.report(self.radii)
            waiting, seconds, halfway = waiting & self.open(), 2 * seconds, not halfway

    def _prove(self, sample: int, budget: Budget, *, halfway: bool) -> None:
        """Prove the wanted radius of one sample, or one halfway to it, while inputs are found that break it nearer."""
        attack, radii = self.attack, self.radii
        index = torch.tensor([sample], device=radii.lower.device)
        while budget.left() > 0:
            before, lower = float(radii.upper[sample]), radii.lower[index]
            wanted = wanted_radius(radii.upper[index], self.tolerance)
            radius = (lower + wanted) / 2 if halfway else wanted
            domain = self._sets(index, radius).domain.single(0)
            proof = prove(attack.classifier.network, domain, int(attack.label[sample]), budget)
            if proof.proven:
                radii.lower[index] = torch.maximum(lower, radius)
            if proof.counterexample is None:
                return
            point = proof.counterexample.to(attack.center)[None]
            found = torch.ones_like(index, dtype=torch.bool)
            attack.close(radii.breaks, index, point, found, budget.deadline)
            attack.polish(radii.breaks, index, budget.deadline)
            if not float(radii.upper[sample]) < before:
                return

    def _write(self, numbers: Iterable[int]) -> None:
        """Write some parts down, in one go."""
        for number in sorted(numbers):
            part = self._parts[number]
            self.record.put(number, self.attack.center[part], self.attack.label[part], self.radii.entries(part))
        self.record.write()
