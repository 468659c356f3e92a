"""Critical radii of digits against bisection with `verify`, and the minimum-norm attack against those of adv-lib.

Digits: `critical_radius` in the maximum norm for the 1000 test images of the shipped model, in one call with a time
limit. Bisection asks `verify` for one radius after another, for every 50th of them, until both ends are within 5 % or
one answer is none. Minimum norm: 100 test images that a convolutional classifier, trained with interval bounds, gets
right. The optimality of an attack is the area above its curve of robust accuracy over the radius, as a share of that of
the best of all attacks taken together, up to the radius at which no image resists the best (AttackBench, Cina et al.,
arXiv 2404.19460). Seconds are of the processor, one thread.

    python benchmarks/critical_radius.py digits --seconds 900
    python benchmarks/critical_radius.py minimum_norm --model FOLDER/cnn.safetensors   # trained if it is not there
    python benchmarks/critical_radius.py minimum_norm --model FOLDER/cnn.safetensors --first 100   # other images
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch
from _common import RESULTS, append_row, commit, machine
from peers.minimum_norm import available
from problems.certified_cnn import trained
from torch import Tensor, nn

import relu_attack as ra
from relu_attack.compat import minimum_norm_attack
from relu_attack.io import load_model

ROOT = Path(__file__).parent.parent
DIGITS = ROOT / "models" / "digits" / "model.safetensors"
SEED, SAMPLES, BISECTED, TOLERANCE, ATTACKED = 0, 1000, 20, 0.05, 100
# Seconds of one call of `verify`, and the radius at which bisection begins.
VERIFY_SECONDS, FIRST_RADIUS = 5.0, 0.05
ORDERS = {"linf": float("inf"), "l2": 2.0, "l1": 1.0}
COLUMNS = ("question", "norm", "who", "samples", "failed", "median", "optimality", "median_lower", "within", "seconds")


def digits(part: str) -> tuple[Tensor, Tensor]:
    sys.path.insert(0, str(ROOT / "scripts"))
    from train_digits import read_small

    images = read_small(SEED, torch.Generator().manual_seed(SEED)).parts[part]
    return images.scaled(), images.labels


def write(path: Path, **row: object) -> None:
    known = {name: row.get(name, "") for name in COLUMNS}
    numbers = {name: f"{value:.5g}" if isinstance(value, float) else value for name, value in known.items()}
    append_row(path, numbers | {"machine": machine(), "commit": commit()})
    print({name: value for name, value in numbers.items() if value != ""}, flush=True)


def radii(path: Path, seconds: float, record: Path | None) -> None:
    model = load_model(DIGITS).eval().requires_grad_(False)
    x, label = (part[:SAMPLES] for part in digits("test"))
    chosen = torch.arange(0, SAMPLES, SAMPLES // BISECTED)
    for name, limit in (("attack and CROWN", None), (f"critical_radius, {seconds:.0f} s", seconds)):
        busy = time.process_time()
        found = ra.critical_radius(model, x, label, time_limit=limit, resume=record if limit else None, progress=False)
        busy = time.process_time() - busy
        middle = {"median": float(found.upper.median()), "median_lower": float(found.lower.median())}
        write(
            path, question="digits", norm="linf", who=name, samples=len(x), seconds=busy,
            within=found.fraction_within(TOLERANCE), **middle,
        )  # fmt: skip
        own = found.closed(TOLERANCE)[chosen].double().mean()
        write(
            path, question="digits", norm="linf", who=f"{name}: those bisected", samples=len(chosen),
            within=float(own), seconds=float(found.seconds[chosen].sum()),
        )  # fmt: skip
        if limit:
            write_radii(path.with_name("critical_radius_digits.csv"), found)
    busy, closed = time.process_time(), 0
    for sample in chosen.tolist():
        closed += bisected(model, x[sample], int(label[sample]))
    busy = time.process_time() - busy
    write(
        path, question="digits", norm="linf", who=f"bisection with verify, {VERIFY_SECONDS:.0f} s a call",
        samples=len(chosen), within=closed / len(chosen), seconds=busy,
    )  # fmt: skip
    began = time.process_time()
    found = ra.critical_radius(model, x[chosen], label[chosen], time_limit=busy, progress=False)
    write(
        path, question="digits", norm="linf", who="critical_radius, those bisected, the time of bisection",
        samples=len(chosen), within=found.fraction_within(TOLERANCE), seconds=time.process_time() - began,
    )  # fmt: skip


def write_radii(path: Path, found: ra.CriticalRadius) -> None:
    """Write the ends of each sample, from which a figure of the documentation is drawn."""
    path.unlink(missing_ok=True)
    columns = (found.label.tolist(), found.lower.tolist(), found.upper.tolist(), found.seconds.tolist())
    for label, lower, upper, seconds in zip(*columns, strict=True):
        append_row(path, {"label": label, "lower": lower, "upper": upper, "seconds": f"{seconds:.3g}"})


def bisected(model: nn.Module, x: Tensor, label: int) -> bool:
    """Return whether bisection closes the ends of one sample."""
    specification = ra.Specification.label(label, outputs=10)
    low, high, radius = 0.0, float("inf"), FIRST_RADIUS
    if int(model(x[None]).argmax()) != label:
        return True
    while high - low > TOLERANCE * high or high == float("inf"):
        ball = ra.LInfBall(x, radius, clip=(0, 1))
        answer = ra.verify(model, ball, specification, time_limit=VERIFY_SECONDS, progress=False)
        if answer.verdict is ra.Verdict.VERIFIED:
            low = radius
        elif answer.verdict is ra.Verdict.FALSIFIED:
            high = radius
        else:
            return False
        radius = 2 * low if high == float("inf") else (low + high) / 2
    return True


def minimum_norm(path: Path, file: Path, norms: list[str], first: int) -> None:
    model = trained(file, *digits("train"))
    x, label = digits("test")
    right = model(x).argmax(1) == label
    chosen = slice(first, first + ATTACKED)
    x, label = x[right][chosen], label[right][chosen]
    question = "minimum norm" if first == 0 else f"minimum norm, images from {first} on"
    for norm in norms:
        attacks = {
            "ours, 20 walkers, 50 steps": minimum_norm_attack(norm),
            "ours, 40 walkers, 100 steps": minimum_norm_attack(norm, restarts=40, steps=100),
            **available(norm),
        }
        distances, times = dict[str, Tensor](), dict[str, float]()
        for name, attack in attacks.items():
            torch.manual_seed(SEED)
            busy = time.process_time()
            with torch.enable_grad():
                moved = attack(model, x, label)
            times[name] = time.process_time() - busy
            distance = torch.linalg.vector_norm((moved - x).flatten(1).double(), ord=ORDERS[norm], dim=1)
            distances[name] = torch.where(model(moved).argmax(1) != label, distance, torch.inf)
        best = torch.stack(list(distances.values())).amin(0)
        for name, distance in distances.items():
            above = (best.max() - distance).clamp_min(0).sum() / (best.max() - best).sum()
            write(
                path, question=question, norm=norm, who=name, samples=len(x),
                failed=int(distance.isinf().sum()), median=float(distance.median()), optimality=float(above),
                seconds=times[name],
            )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", choices=["digits", "minimum_norm"])
    parser.add_argument("--seconds", type=float, default=900.0, help="time limit for all digits")
    parser.add_argument("--record", type=Path, help="a record from which the digits go on")
    parser.add_argument("--model", type=Path, help="the convolutional classifier")
    parser.add_argument("--norms", nargs="+", choices=list(ORDERS), default=list(ORDERS), help="of the minimum norm")
    parser.add_argument("--first", type=int, default=0, help="image of the minimum norm, among those that are right")
    parser.add_argument("--output", type=Path, default=RESULTS / "critical_radius.csv")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with torch.no_grad():
        if options.question == "digits":
            radii(options.output, options.seconds, options.record)
        elif options.model is None:
            parser.error("minimum_norm needs --model")
        else:
            minimum_norm(options.output, options.model, options.norms, options.first)


if __name__ == "__main__":
    main()
