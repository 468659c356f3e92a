"""Files: models as weights and a plain description."""

from relu_attack.io.architecture import Architecture, build, describe
from relu_attack.io.models import load_factory, load_model, save_model

__all__ = ["Architecture", "build", "describe", "load_factory", "load_model", "save_model"]
