"""The classes of Lightning that callbacks need; at run time they are imported after torchvision, as it must be."""

from typing import TYPE_CHECKING

from relu_attack._torchvision import import_lightning

if TYPE_CHECKING:
    from pytorch_lightning import Callback, LightningModule, Trainer
else:
    _lightning = import_lightning()
    Callback, LightningModule, Trainer = _lightning.Callback, _lightning.LightningModule, _lightning.Trainer

__all__ = ["Callback", "LightningModule", "Trainer"]
