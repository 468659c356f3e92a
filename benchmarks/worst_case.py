"""Worst cases of classifiers against torchattacks and Foolbox: at equal time, at equal steps, and steps a second.

500 test images of the digits data, maximum norm, one thread, one process. In each round each peer attacks all images
once in one batch; then `worst_case` has the same wall-clock time, once for the worst margins and once for the accuracy,
where samples leave once they are broken; and after that the same number of steps with one walker. Steps a second are
gradients of the whole batch per processor second, so that other work on the machine is not in them; calls are taken
whole, with all that is made ready but for the reading of the model, which is kept between calls as the objects of the
peers are. Margins are those of the model's own forward pass; the larger the mean worst margin,
the stronger the attack. Peers are taken where they can be imported: ``benchmarks/peers/attacks.py`` says how.

    python benchmarks/worst_case.py --models FOLDER              # mlp and cnn, trained into FOLDER when not there
    python benchmarks/worst_case.py --models FOLDER --certify    # attacked >= certified, on every sample
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import torch
from _common import RESULTS, append_row, commit, machine, random_network, read_rows
from peers.attacks import Peer, available, seeded
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import relu_attack as ra
from relu_attack.io import load_model
from relu_attack.robustness import CachedModel

ROOT = Path(__file__).parent.parent
SCRIPTS, DIGITS = ROOT / "scripts", ROOT / "models" / "digits" / "model.safetensors"
RADII = {"digits": (0.02, 0.05, 0.1), "mlp": (0.05, 0.1, 0.2), "cnn": (0.05, 0.1, 0.2), "small": (0.05, 0.1, 0.2)}
SAMPLES, SMALL, SEED = 500, 64, 0
CERTIFIED = {"digits": 500, "mlp": 100, "cnn": 20}
WHO = ("peer", "equal_time", "until_broken", "equal_steps")
Figures = dict[str, float]
COLUMNS = ("accuracy", "margin", "seconds", "steps_per_second")


def make_model(network: str, folder: Path) -> nn.Module:
    """Return a network by name; train those that are not there."""
    if network == "small":
        return nn.Sequential(nn.Flatten(), *random_network(SEED, 20, 32, 2, 5)).eval().requires_grad_(False)
    path = DIGITS if network == "digits" else folder / f"{network}.safetensors"
    if not path.exists():
        subprocess.run([sys.executable, str(SCRIPTS / "train_classifiers.py"), "--output", str(folder)], check=True)
    return load_model(path).eval().requires_grad_(False)


def make_samples(network: str, model: nn.Module) -> tuple[Tensor, Tensor]:
    """Return samples and labels: test images, or random inputs with the labels that the model gives them."""
    if network == "small":
        x = torch.rand(SMALL, 1, 4, 5, generator=torch.Generator().manual_seed(SEED))
        return x, model(x).argmax(1)
    sys.path.insert(0, str(SCRIPTS))
    from train_digits import read_small

    images = read_small(SEED, torch.Generator().manual_seed(SEED)).parts["test"]
    return images.scaled()[:SAMPLES], images.labels[:SAMPLES]


def margins(model: nn.Module, x: Tensor, label: Tensor) -> Tensor:
    logits = model(x).double()
    return logits.scatter(1, label[:, None], -torch.inf).amax(1) - logits.gather(1, label[:, None])[:, 0]


def measure_peer(peer: Peer, model: nn.Module, x: Tensor, label: Tensor, radius: float, round_: int) -> Figures:
    attack = seeded(peer.make(model, radius), round_)
    began, busy = time.perf_counter(), time.process_time()
    moved = attack(x, label).detach()
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    found = margins(model, moved, label)
    rate = peer.steps / busy
    return _figures(found, seconds, rate)


def measure_ours(
    model: nn.Module,
    x: Tensor,
    label: Tensor,
    radius: float,
    round_: int,
    *,
    stop_at_success: bool = False,
    **budget: float,
) -> Figures:
    busy = time.process_time()
    worst = ra.worst_case(model, x, label, radius, stop_at_success=stop_at_success, seed=round_, **budget)
    busy = time.process_time() - busy
    found = margins(model, worst.x, label)
    assert bool(((worst.x.double() - x.double()).abs() <= radius).all())
    return _figures(found, worst.runtime, worst.evaluations / len(x) / busy)


def _figures(found: Tensor, seconds: float, rate: float) -> Figures:
    accuracy, margin = float((found <= 0).double().mean()), float(found.mean())
    return dict(zip(COLUMNS, (accuracy, margin, seconds, rate), strict=True))


def compare(networks: list[str], folder: Path, rounds: int, path: Path) -> None:
    peers = available()
    if not peers:
        sys.exit("neither torchattacks nor Foolbox can be imported; benchmarks/peers/attacks.py says how to get them")
    for network in networks:
        model = make_model(network, folder)
        x, label = make_samples(network, model)
        kept = CachedModel(model)  # the peers' attacks are made outside of the measured time, too
        for radius in RADII[network]:
            for peer in peers:  # what is made at a first call is in nobody's time
                measure_peer(peer, model, x[:4], label[:4], radius, 0)
            measure_ours(kept, x[:4], label[:4], radius, 0, iterations=2, restarts=1)
            taken: dict[tuple[str, int], list[tuple[Figures, ...]]] = defaultdict(list)
            for round_ in range(rounds):
                for peer in peers:
                    theirs = measure_peer(peer, model, x, label, radius, round_)
                    timed = measure_ours(kept, x, label, radius, round_, time_limit=theirs["seconds"])
                    broken = measure_ours(
                        kept, x, label, radius, round_, time_limit=theirs["seconds"], stop_at_success=True
                    )
                    stepped = measure_ours(kept, x, label, radius, round_, iterations=peer.steps, restarts=1)
                    taken[peer.name, peer.steps].append((theirs, timed, broken, stepped))
            for (name, steps), figures in taken.items():
                row: dict[str, object] = {"network": network, "radius": radius, "peer": name, "steps": steps}
                for who, part in zip(WHO, zip(*figures, strict=True), strict=True):
                    row |= {f"{who}_{column}": _middle([one[column] for one in part]) for column in COLUMNS}
                ratios = [stepped["steps_per_second"] / theirs["steps_per_second"] for theirs, _, _, stepped in figures]
                row |= {"speed_ratio": _middle(ratios), "samples": len(x), "rounds": rounds}
                append_row(path, row | {"machine": machine(), "commit": commit()})
                print(row, flush=True)


def _middle(values: list[float]) -> float:
    return float(f"{statistics.median(values):.5g}")


def certify(networks: list[str], folder: Path, path: Path) -> None:
    """Count samples with a certified margin below that of any attack of ours or theirs: there must be none."""
    for network in networks:
        model = make_model(network, folder)
        x, label = (part[: CERTIFIED[network]] for part in make_samples(network, model))
        for radius in RADII[network]:
            worst = ra.worst_case(model, x, label, radius, certify=True, stop_at_success=False)
            assert worst.certified_margin is not None
            attacked = worst.margin
            for peer in available():
                with torch.enable_grad():
                    moved = peer.make(model, radius)(x, label).detach()
                attacked = torch.maximum(attacked, margins(model, moved, label))
            row = {
                "network": network,
                "radius": radius,
                "samples": len(x),
                "clean": _share(worst.clean_margin <= 0),
                "attacked": _share(worst.margin <= 0),
                "certified": _share(worst.certified_margin < 0),
                "attacked_below_certified": int((attacked > worst.certified_margin + 1e-5).sum()),
                "safe_but_broken": int(((attacked > 0) & (worst.certified_margin < 0)).sum()),
                "machine": machine(),
                "commit": commit(),
            }
            append_row(path, row)
            print(row, flush=True)


def _share(mask: Tensor) -> float:
    return float(mask.double().mean())


def show(path: Path) -> None:
    table = Table("network", "radius", "peer", "accuracy", "ours", "mean margin", "ours", "at equal steps", "speed")
    for row in read_rows(path):
        table.add_row(
            row["network"],
            row["radius"],
            f"{row['peer']}, {row['steps']}",
            *(row[name] for name in ("peer_accuracy", "until_broken_accuracy", "peer_margin", "equal_time_margin")),
            row["equal_steps_margin"],
            row["speed_ratio"],
        )
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True, help="the folder of mlp.safetensors and cnn.safetensors")
    parser.add_argument("--networks", nargs="+", choices=list(RADII), default=list(RADII))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--certify", action="store_true")
    parser.add_argument("--output", type=Path, help="worst_case.csv or worst_case_certified.csv among the results")
    options = parser.parse_args()
    options.output = options.output or RESULTS / f"worst_case{'_certified' if options.certify else ''}.csv"
    torch.set_num_threads(1)
    with torch.no_grad():
        if options.certify:
            certify([name for name in options.networks if name in CERTIFIED], options.models, options.output)
            return
        with torch.enable_grad():
            compare(options.networks, options.models, options.rounds, options.output)
    show(options.output)


if __name__ == "__main__":
    main()
