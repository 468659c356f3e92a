"""Logging of worst-case inputs as images, to loggers that support it."""

from __future__ import annotations

from torch import Tensor

from relu_attack.callbacks._lightning import Trainer


def log_images(trainer: Trainer, name: str, x: Tensor, most: int) -> None:
    """Send inputs to each logger that takes images; do nothing where the inputs are no images.

    Loggers with ``log_image`` (Weights & Biases) and those whose experiment has ``add_images`` (TensorBoard) take them.

    The inputs, of which at most `most` are sent, are in [0, 1], of shape (inputs, 1 or 3, height, width).
    """
    if x.dim() != 4 or x.shape[1] not in (1, 3) or not most:
        return
    shown = x[:most].detach().float().clamp(0, 1)
    for logger in trainer.loggers:
        log_image = getattr(type(logger), "log_image", None)  # some loggers answer to any name
        add_images = getattr(getattr(logger, "experiment", None), "add_images", None)
        if callable(log_image):
            log_image(logger, name, list(shown), step=trainer.global_step)
        elif callable(add_images):
            add_images(name, shown, global_step=trainer.global_step)
