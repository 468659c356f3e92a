"""Classes of Lightning for the callbacks, imported at run time after torchvision."""

from typing import TYPE_CHECKING

from relu_attack._torchvision import import_lightning

if TYPE_CHECKING:
    from pytorch_lightning import Callback, LightningModule, Trainer
    from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
else:
    _lightning = import_lightning()
    Callback, LightningModule, Trainer = _lightning.Callback, _lightning.LightningModule, _lightning.Trainer
    EarlyStopping, ModelCheckpoint = _lightning.callbacks.EarlyStopping, _lightning.callbacks.ModelCheckpoint

__all__ = ["Callback", "EarlyStopping", "LightningModule", "ModelCheckpoint", "Trainer"]
