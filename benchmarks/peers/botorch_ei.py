"""Bayesian optimization by BoTorch: a Gaussian process and the logarithm of the expected improvement."""

from __future__ import annotations

import warnings

import torch
from botorch.acquisition import LogExpectedImprovement
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.transforms import Normalize, Standardize
from botorch.optim import optimize_acqf
from gpytorch.mlls import ExactMarginalLogLikelihood
from peers.projection import Projection
from peers.tracker import Tracker

START, RAW, RESTARTS = 20, 64, 2


def botorch_ei(run: Tracker) -> None:
    """Look at one point after the other, each where the expected improvement is largest."""
    warnings.simplefilter("ignore")
    torch.manual_seed(run.seed)
    project = Projection(run.region, torch.float64)
    bounds = torch.stack([project.low, project.high])
    matrix, _, most = (torch.tensor(part) for part in run.region.rows())
    places = torch.arange(run.region.inputs)
    rows = [(places, -row, -float(side)) for row, side in zip(matrix, most, strict=True)] or None
    x = torch.tensor(project.finish(project.starts(START, run.torch_rng)))
    y = torch.tensor(run.offer(x))[:, None]
    while not run.over:
        good = torch.isfinite(y[:, 0])
        transforms = {"input_transform": Normalize(x.shape[1], bounds=bounds), "outcome_transform": Standardize(1)}
        model = SingleTaskGP(x[good], y[good], **transforms)
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        improvement = LogExpectedImprovement(model, y[good].max())
        found, _ = optimize_acqf(
            improvement, bounds, q=1, num_restarts=RESTARTS, raw_samples=RAW, inequality_constraints=rows,
            options={"maxiter": 50},
        )  # fmt: skip
        found = torch.tensor(project.finish(found)) if project.has_rows else found
        x, y = torch.cat([x, found]), torch.cat([y, torch.tensor(run.offer(found))[:, None]])
