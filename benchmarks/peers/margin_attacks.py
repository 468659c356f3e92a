"""Attacks of AutoAttack and adv-lib, and projected gradients, restarted until the time is over.

    PEERS/bin/pip install torch numpy scipy adv-lib git+https://github.com/fra31/auto-attack

adv-lib imports torchvision and visdom, for perceptual distances and pictures only: where they are missing, empty
modules take their place.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from problems.flat_networks import load
from torch import Tensor, nn

APGD_STEPS, FAB_STEPS, PGD_STEPS = 100, 100, 40
# Length of the steps of projected gradients, as a share of the radius.
PGD_STEP = 0.2


class OutOfTime(Exception):  # noqa: N818
    """Raised by the model out of an attack that has no clock of its own."""


class Recorder(nn.Module):
    """A classifier that keeps the worst input of each image among all that an attack asks it for.

    Inputs outside of the balls are moved into them first where `inside` is false, and then evaluated once more.

    Parameters
    ----------
    model, x, labels, radius
        The question.
    seconds
        Processor seconds from now.
    leave
        Whether images leave once they are broken.
    """

    def __init__(
        self, model: nn.Module, x: Tensor, labels: Tensor, radius: float, *, seconds: float, leave: bool
    ) -> None:
        super().__init__()
        self.model, self.x, self.labels, self.radius = model, x, labels, radius
        self.low, self.high = (x - radius).clamp(0, 1), (x + radius).clamp(0, 1)
        self.began, self.seconds, self.leave = time.process_time(), seconds, leave
        self.best, self.rows, self.recording = x.clone(), torch.arange(len(x)), True
        self.margin = margins(model(x), labels)

    def batch(self) -> tuple[Tensor, Tensor]:
        """Return the images that the next run attacks, and their labels."""
        self.rows = torch.nonzero(self.margin <= 0)[:, 0] if self.leave else torch.arange(len(self.x))
        if not len(self.rows):
            raise OutOfTime
        return self.x[self.rows].clone(), self.labels[self.rows]

    def forward(self, x: Tensor) -> Tensor:
        if time.process_time() - self.began > self.seconds:
            raise OutOfTime
        logits: Tensor = self.model(x)
        if self.recording:
            self._record(x.detach(), logits.detach())
        return logits

    def offer(self, x: Tensor) -> None:
        """Look at the nearest points of the balls, and at those on their surfaces in the same direction."""
        away = x - self.x[self.rows]
        length = away.flatten(1).abs().amax(1).clamp_min(1e-12).view(-1, 1, 1, 1)
        for points in (x, self.x[self.rows] + away * (self.radius / length)):
            inside = torch.minimum(torch.maximum(points, self.low[self.rows]), self.high[self.rows])
            self._record(inside, self.model(inside))

    def _record(self, x: Tensor, logits: Tensor) -> None:
        margin = margins(logits, self.labels[self.rows])
        better = margin > self.margin[self.rows]
        self.best[self.rows[better]], self.margin[self.rows[better]] = x[better], margin[better]


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the largest margin of a wrong class."""
    place = labels[:, None]
    return (logits - logits.gather(1, place)).scatter(1, place, -torch.inf).amax(1)


def autoattack_apgd(model: Recorder) -> Iterator[None]:
    """Run AutoAttack's APGD-T on one wrong class after the other, the closest first."""
    module: Any = importlib.import_module("autoattack.autopgd_base")
    module.check_zero_gradients = lambda *_, **__: None  # it warns
    for turn in itertools.count():
        for place in range(2, 11):
            x, labels = model.batch()
            attack = module.APGDAttack_targeted(model, n_iter=APGD_STEPS, eps=model.radius, device="cpu")
            attack.init_hyperparam(x)
            attack.y_target = model.model(x).argsort(1)[:, -place]
            torch.manual_seed(100 * turn + place)
            attack.attack_single_run(x, labels)
        yield


def autoattack_fab(model: Recorder) -> Iterator[None]:
    """Run AutoAttack's FAB-T on one wrong class after the other, at first from the images."""
    module: Any = importlib.import_module("autoattack.fab_pt")
    model.recording = False
    for turn in itertools.count():
        for place in range(2, 11):
            x, labels = model.batch()
            attack = module.FABAttack_PT(model, n_iter=FAB_STEPS, eps=model.radius, targeted=True, device="cpu")
            attack.target_class = place
            torch.manual_seed(100 * turn + place)
            model.offer(attack.attack_single_run(x, labels, use_rand_start=turn > 0, is_targeted=True))
        yield


def advlib_apgd(model: Recorder) -> Iterator[None]:
    """Run adv-lib's APGD with targets, which are one wrong class after the other, the closest first."""
    for name in ("torchvision", "torchvision.models", "visdom"):
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.modules["torchvision"].models = sys.modules["torchvision.models"]  # type: ignore[attr-defined]
    apgd: Any = importlib.import_module("adv_lib.attacks.auto_pgd")
    options = {"eps": model.radius, "norm": float("inf"), "targeted": True, "n_iter": APGD_STEPS, "best_loss": True}
    for turn in itertools.count():
        for place in range(2, 11):
            x, _ = model.batch()
            target = model.model(x).argsort(1)[:, -place]
            torch.manual_seed(100 * turn + place)
            apgd.apgd(model, x, target, **options)
        yield


def pgd(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Recorder], Iterator[None]]:
    """Return projected gradient ascent of a loss by signed steps from random points."""

    def run(model: Recorder) -> Iterator[None]:
        for turn in itertools.count():
            torch.manual_seed(turn)
            _, labels = model.batch()
            low, high = model.low[model.rows], model.high[model.rows]
            point = low + (high - low) * torch.rand_like(low)
            for _ in range(PGD_STEPS):
                point.requires_grad_()
                (slope,) = torch.autograd.grad(loss(model(point), labels).sum(), point)
                ahead = point.detach() + PGD_STEP * model.radius * slope.sign()
                point = torch.minimum(torch.maximum(ahead, low), high)
            model(point)
            yield

    return run


ATTACKS: dict[str, Callable[[Recorder], Iterator[None]]] = {
    "AutoAttack APGD-T": autoattack_apgd,
    "AutoAttack FAB-T": autoattack_fab,
    "adv-lib APGD-T": advlib_apgd,
    "PGD, margin": pgd(margins),
    "PGD, cross-entropy": pgd(lambda logits, labels: nn.functional.cross_entropy(logits, labels, reduction="none")),
}


def main() -> None:
    """Attack, save the worst inputs, print how many restarts and processor seconds it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--attack", choices=ATTACKS, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--leave", action="store_true", help="images leave once they are broken")
    parser.add_argument("--points", type=Path, required=True, help="file of the worst inputs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    recorder = Recorder(*load(options.network, options.seed), seconds=options.seconds, leave=options.leave)
    restarts = 0
    try:
        for _ in ATTACKS[options.attack](recorder):
            restarts += 1
    except OutOfTime:
        pass
    seconds = time.process_time() - recorder.began
    torch.save(recorder.best.detach(), options.points)
    print(json.dumps({"restarts": restarts, "seconds": seconds}))


if __name__ == "__main__":
    main()
