"""`WorstCaseMonitor`: it logs what a direct call finds, and training goes on as without it."""

import _thread
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import relu_attack as ra
from relu_attack._torchvision import import_lightning
from relu_attack.callbacks import CertifiedAccuracyMonitor, StopOnBound, WorstCaseMonitor
from relu_attack.callbacks._images import log_images
from relu_attack.callbacks._targets import WorstInputs
from tests.callbacks.support import Classifier, Log, batches, collated, data, load, network_with, same, trainer

lightning = import_lightning()
BOX = ra.Box(0.0, 1.0, shape=(1, 4, 4))
OBJECTIVE = ra.Margin(1, 0)
SEARCH: dict[str, Any] = {"method": "ppga_lr", "restarts": 4, "iterations": 20}


def over_box(**options: Any) -> WorstCaseMonitor:
    return WorstCaseMonitor(**{"domain": BOX, "objective": OBJECTIVE, **SEARCH, **options})


def near_samples(**options: Any) -> WorstCaseMonitor:
    return WorstCaseMonitor(**{"radius": 0.1, "restarts": 2, "iterations": 5, **options})


def test_it_is_a_callback_of_lightning() -> None:
    assert issubclass(WorstCaseMonitor, lightning.Callback)


def test_over_a_domain_it_logs_what_a_direct_call_finds_with_the_same_weights() -> None:
    log, monitor = Log(), over_box()
    trainer(monitor, log).fit(Classifier(), load(batches()), load(batches(24)))
    x0 = None
    for turn, (metrics, weights) in enumerate(zip(log.metrics, log.weights, strict=True)):
        arguments = {"method": "ppga_lr", "restarts": 4, "iterations": 20, "bound": "crown"}
        result = ra.maximize(network_with(weights), BOX, OBJECTIVE, x0=x0, seed=turn, **arguments)
        assert metrics["worst_case/value"] == float(result.value)
        assert metrics["worst_case/bound"] == float(result.bound)
        assert metrics["worst_case/gap"] == float(result.gap)
        x0 = result.x
    assert monitor.worst_inputs is not None
    assert x0 is not None
    assert torch.equal(monitor.worst_inputs, x0[None])


@pytest.mark.parametrize("reduction", ["max", "mean"])
def test_near_samples_it_logs_margins_of_the_first_validation_data(reduction: str) -> None:
    log, validation = Log(), batches(36, seed=2)
    trainer(near_samples(samples=20, reduction=reduction), log).fit(Classifier(), load(batches()), load(validation))
    x, label = (torch.cat(parts)[:20] for parts in zip(*validation, strict=True))
    arguments: dict[str, Any] = {"restarts": 2, "iterations": 5, "certify": True, "stop_at_success": False}
    worst = ra.worst_case(network_with(log.weights[0]), x, label, 0.1, **arguments)
    assert worst.certified_margin is not None
    value, bound = (getattr(part, reduction)().item() for part in (worst.margin, worst.certified_margin))
    assert log.metrics[0]["worst_case/value"] == pytest.approx(value, abs=1e-12)
    assert log.metrics[0]["worst_case/bound"] == pytest.approx(bound, abs=1e-12)
    again = ra.worst_case(network_with(log.weights[1]), x, label, 0.1, x0=worst.x, seed=1, **arguments)
    assert log.metrics[1]["worst_case/value"] == pytest.approx(getattr(again.margin, reduction)().item(), abs=1e-12)


def test_given_samples_are_taken_as_they_are_and_all_of_fewer_than_asked_for() -> None:
    given, first = near_samples(samples=data(24)), near_samples(samples=1000, log_key_prefix="first")
    trainer(given, first).fit(Classifier(), load(batches()), load(batches(24)))
    assert isinstance(given.answer, WorstInputs)
    assert isinstance(first.answer, WorstInputs)
    assert torch.equal(given.answer.value, first.answer.value)


def test_what_validation_under_inference_mode_leaves_behind_can_be_used() -> None:
    monitor = near_samples(samples=5)
    net = Classifier()
    trainer(monitor, inference_mode=True).validate(net, collated(24), verbose=False)
    assert monitor.worst_inputs is not None
    assert not monitor.worst_inputs.is_inference()
    assert not monitor._samples.get()[0].is_inference()  # type: ignore[union-attr]
    net.model(monitor.worst_inputs).sum().backward()


def test_training_is_the_same_to_the_last_bit_with_all_monitors_and_without() -> None:
    def train(*monitors: Any) -> dict[str, Tensor]:
        net = Classifier()
        trainer(*monitors, num_sanity_val_steps=1).fit(net, collated(shuffle=True), collated(24))
        assert net.training
        return net.state_dict()

    monitors = [over_box(), near_samples(log_key_prefix="near"), CertifiedAccuracyMonitor(radius=0.1, iterations=3)]
    assert same(train(), train(*monitors, StopOnBound(domain=BOX, below=-100.0)))


def test_each_module_keeps_its_own_mode() -> None:
    class Frozen(Classifier):
        def on_train_epoch_start(self) -> None:
            self.model[2].eval()

        def on_validation_model_eval(self) -> None:
            self.model[4].train()

        def on_validation_epoch_end(self) -> None:
            modes.append((self.model[2].training, self.model[4].training))

    modes: list[tuple[bool, bool]] = []
    trainer(over_box()).fit(Frozen(), load(batches()), load(batches(24)))
    assert modes == [(False, True)] * 2


def test_early_stopping_and_checkpoints_see_the_value(tmp_path: Path) -> None:
    stop = lightning.callbacks.EarlyStopping("worst_case/value", mode="max", min_delta=1e6, patience=2)
    keep = lightning.callbacks.ModelCheckpoint(dirpath=tmp_path, monitor="worst_case/value", mode="min")
    log = Log()
    fit = trainer(over_box(), log, stop, keep, max_epochs=9, enable_checkpointing=True, folder=tmp_path)
    fit.fit(Classifier(), load(batches()), load(batches(24)))
    assert fit.current_epoch == 3
    assert float(keep.best_model_score) == min(metrics["worst_case/value"] for metrics in log.metrics)


def test_a_resumed_training_is_an_uninterrupted_one(tmp_path: Path) -> None:
    def monitors() -> list[WorstCaseMonitor]:
        return [over_box(), near_samples(log_key_prefix="near", samples=10)]

    whole, unbroken = Classifier(dropout=0.0), monitors()
    trainer(*unbroken, max_epochs=4).fit(whole, load(batches()), load(batches(24)))

    first = trainer(*monitors(), max_epochs=2)
    first.fit(Classifier(dropout=0.0), load(batches()), load(batches(24)))
    first.save_checkpoint(tmp_path / "half.ckpt")
    resumed, rest = Classifier(dropout=0.0), monitors()
    trainer(*rest, max_epochs=4).fit(resumed, load(batches()), load(batches(24)), ckpt_path=tmp_path / "half.ckpt")
    assert same(whole.state_dict(), resumed.state_dict())
    for before, after in zip(unbroken, rest, strict=True):
        assert before.state_dict().keys() == after.state_dict().keys()
        assert before.state_dict()["searches"] == after.state_dict()["searches"] == 4
        assert torch.equal(before.state_dict()["worst_inputs"], after.state_dict()["worst_inputs"])


def test_it_looks_at_every_nth_epoch_and_the_last_value_stays() -> None:
    log, monitor = Log(), over_box(every_n_epochs=2)
    trainer(monitor, log, max_epochs=5).fit(Classifier(), load(batches()), load(batches(24)))
    assert monitor._searches == 2
    values = [metrics.get("worst_case/value") for metrics in log.metrics]
    assert values[0] is None
    assert values[1] == values[2] != values[3] == values[4]


def test_validate_alone_looks_too() -> None:
    monitor = over_box(every_n_epochs=7)
    (metrics,) = trainer(monitor).validate(Classifier(), load(batches(24)), verbose=False)
    assert metrics["worst_case/value"] <= metrics["worst_case/bound"]


@pytest.mark.filterwarnings("ignore:.*fast_dev_run")
def test_nothing_is_done_while_sanity_checking_or_in_a_fast_dev_run() -> None:
    class Count(WorstCaseMonitor):
        looks = 0

        def _evaluate(self, model: nn.Module) -> WorstInputs:
            type(self).looks += 1
            return super()._evaluate(model)

    monitor = Count(radius=0.1, samples=30, iterations=2, restarts=1)
    trainer(monitor, num_sanity_val_steps=2, max_epochs=1).fit(Classifier(), load(batches()), load(batches(24)))
    assert Count.looks == 1
    assert len(monitor._samples.get()[0]) == 24, "samples of the sanity check would be there twice"  # type: ignore[union-attr]
    trainer(monitor, fast_dev_run=True).fit(Classifier(), load(batches()), load(batches(24)))
    assert Count.looks == 1


class Board(lightning.loggers.logger.DummyLogger):  # type: ignore[misc]
    """Takes images as the logger of TensorBoard does."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, Tensor, int]] = []

    @property
    def experiment(self) -> Any:
        return SimpleNamespace(add_images=lambda tag, x, global_step: self.sent.append((tag, x, global_step)))


class Weights(Board):
    """Takes images as the logger of Weights & Biases does."""

    def log_image(self, key: str, images: list[Any], step: int | None = None) -> None:
        assert step is not None
        self.sent.append((key, torch.stack(images), step))


@pytest.mark.parametrize("kind", [Board, Weights])
def test_worst_inputs_that_are_images_go_to_the_loggers_that_take_them(kind: type[Board]) -> None:
    board, plain = kind(), lightning.loggers.logger.DummyLogger()
    monitor = near_samples(samples=10, images=3)
    run = trainer(monitor, logger=[plain, board], log_every_n_steps=1)
    run.fit(Classifier(), load(batches()), load(batches(24)))
    assert [(tag, tuple(x.shape), step) for tag, x, step in board.sent] == [
        ("worst_case/inputs", (3, 1, 4, 4), 4),
        ("worst_case/inputs", (3, 1, 4, 4), 8),
    ]
    assert torch.equal(board.sent[-1][1], monitor.worst_inputs[:3])  # type: ignore[index]


def test_inputs_that_are_no_images_are_sent_to_no_logger() -> None:
    board = Board()
    for x, most in (
        (torch.zeros(3, 16), 8),
        (torch.zeros(2, 5, 4, 4), 8),
        (torch.zeros(3, 4, 4), 8),
        (torch.zeros(2, 1, 4, 4), 0),
    ):
        log_images(trainer(logger=board), "inputs", x, most)
    assert board.sent == []


def test_a_bound_that_a_solver_vouches_for_is_replaced_by_a_certified_one() -> None:
    torch.manual_seed(0)
    net = Classifier().model.eval()
    monitor = WorstCaseMonitor(domain=BOX, objective=OBJECTIVE, method="milp", time_limit=20.0)
    answer = monitor._evaluate(net)
    _, upper = ra.ReLUOptimizer(net, BOX, OBJECTIVE).bounds("crown")
    assert float(answer.bound) == float(upper)


def test_ctrl_c_during_a_search_over_a_set_ends_the_training() -> None:
    timer = threading.Timer(0.2, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        over_box(iterations=None, time_limit=60.0)._evaluate(Classifier().model.eval())
    timer.join()


@pytest.mark.parametrize("make", [WorstCaseMonitor, CertifiedAccuracyMonitor])
def test_ctrl_c_during_a_search_near_samples_ends_the_training(make: Any) -> None:
    class Interrupted(nn.Sequential):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            type(self).calls += isinstance(x, Tensor)
            if self.calls == 6:  # four runs to compare it with its chain, one at the samples
                raise KeyboardInterrupt
            return super().forward(x)  # type: ignore[no-any-return]

    model = Interrupted(*Classifier().model).eval()
    with pytest.raises(KeyboardInterrupt):
        make(radius=0.1, samples=data(24))._evaluate(model)
    assert model.calls >= 6


def test_a_mean_of_bounds_is_rounded_up() -> None:
    third = torch.tensor([0.1, 0.2, 0.4], dtype=torch.float64)
    value, bound = WorstInputs(torch.zeros(3, 1), third, third).reduced("mean")
    assert value < bound < value + 1e-15


@pytest.mark.parametrize("network", ["model", lambda module: module.model])
def test_the_network_is_named_or_found(network: Any) -> None:
    fit = trainer(over_box(network=network), max_epochs=1)
    fit.fit(Classifier(), load(batches()), load(batches(24)))
    assert "worst_case/value" in fit.callback_metrics


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"network": "net"}, ra.ModelError, "Classifier has no network 'net'; its modules are: model"),
        ({"network": lambda module: 3}, ra.ModelError, "network must return an nn.Module, got int"),
        ({"network": lambda module: module}, ra.UnsupportedModuleError, "model is Classifier"),
        ({"domain": ra.Box(0.0, 1.0, shape=(1, 4, 5))}, ra.ModelError, "20"),
        ({"objective": ra.Output(3)}, ra.ObjectiveError, "3"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(options: Any, error: Any, message: str) -> None:
    net = Classifier()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(error, match=message) as caught:
        trainer(over_box(**options)).fit(net, load(batches()), load(batches(24)))
    assert "\n" not in str(caught.value)
    assert same(before, net.state_dict())


@pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no")
def test_a_training_without_validation_is_refused() -> None:
    with pytest.raises(ra.OptionError, match="Monitor evaluates at the end of validation, but this training has"):
        trainer(over_box()).fit(Classifier(), load(batches()))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ra.OptionError, "give either a domain"),
        ({"domain": BOX, "radius": 0.1}, ra.OptionError, "give either a domain"),
        ({"domain": BOX, "samples": 3}, ra.OptionError, "samples go with a radius"),
        ({"domain": [0, 1]}, ra.OptionError, "domain must be a Box, a ball, a Polytope or another Domain, got list"),
        ({"domain": BOX, "objective": 0}, ra.OptionError, "objective must be an Output"),
        ({"domain": BOX, "method": "pgd"}, ra.OptionError, "method is 'pgd'"),
        ({"domain": BOX, "bounds": "tight"}, ra.OptionError, "bounds is 'tight'"),
        ({"domain": BOX, "iterations": 0}, ra.OptionError, "iterations must be a whole number of at least 1, got 0"),
        ({"domain": BOX, "time_limit": -1.0}, ra.OptionError, "time_limit must be a positive number"),
        ({"domain": BOX, "restarts": 0}, ra.OptionError, "restarts must be a whole number of at least 1, got 0"),
        ({"domain": BOX, "seed": -1}, ra.OptionError, "seed must be a whole number of at least 0, got -1"),
        ({"domain": BOX, "reduction": "sum"}, ra.OptionError, "reduction is 'sum'"),
        ({"domain": BOX, "images": True}, ra.OptionError, "images must be a whole number of at least 0, got True"),
        ({"domain": BOX, "every_n_epochs": 0}, ra.OptionError, "every_n_epochs must be a whole number of at least 1"),
        ({"domain": BOX, "log_key_prefix": ""}, ra.OptionError, "log_key_prefix must be a word"),
        ({"domain": BOX, "network": None}, ra.OptionError, "network must be the name of an attribute"),
        ({"radius": 0.0}, ra.OptionError, "radius must be above 0, got 0.0"),
        ({"radius": float("nan")}, ra.OptionError, "radius must be a finite number, got nan"),
        ({"radius": 0.1, "objective": OBJECTIVE}, ra.OptionError, "objective and bounds go with a domain"),
        ({"radius": 0.1, "bounds": "interval"}, ra.OptionError, "objective and bounds go with a domain"),
        ({"radius": 0.1, "method": "lp_walk"}, ra.OptionError, "method is 'lp_walk'"),
        ({"radius": 0.1, "norm": "l0"}, ra.OptionError, "norm is 'l0'"),
        ({"radius": 0.1, "clip": 1.0}, ra.DomainError, "clip must be a pair"),
        ({"radius": 0.1, "clip": (1.0, 0.0)}, ra.DomainError, "clip is empty"),
        ({"radius": 0.1, "clip": (torch.zeros(2), torch.ones(3))}, ra.DomainError, "the ends of clip have shapes"),
        ({"radius": 0.1, "normalize": 0.5}, ra.OptionError, "normalize must be a pair"),
        ({"radius": 0.1, "normalize": (0.5, 0.0)}, ra.OptionError, "normalize std must be positive"),
        ({"radius": 0.1, "samples": 0}, ra.OptionError, "samples must be a pair"),
        ({"radius": 0.1, "samples": (torch.zeros(3, 2), torch.zeros(2))}, ra.OptionError, "samples has 3 inputs"),
        ({"radius": 0.1, "keys": "xy"}, ra.OptionError, "keys must be two indices or names"),
    ],
)
def test_each_wrong_argument_is_one_error_at_once(options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        WorstCaseMonitor(**options)
    assert "\n" not in str(caught.value)
