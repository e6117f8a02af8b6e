"""The systems that can be trained, by name: M4SER, and one network for each file of this folder.

A file defines a config, one [`EmotionModel`] and `PUBLICATION`; the config's `model_type` is the name of `--system`.
Nothing else has to know it: registration with transformers, the command line, the trainer and the report iterate
`SYSTEMS` and `PUBLICATIONS`. `common/` holds what several of them share.
"""

import pkgutil
from importlib import import_module
from types import ModuleType

from m4ser.model.base_m4ser import EmotionModel
from m4ser.model.modeling_m4ser import M4SERModel
from m4ser.systems.common.publication import Publication


def _model_class(module: ModuleType) -> type[EmotionModel]:
    """Return the one model that a file of this folder defines."""
    models = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, EmotionModel) and value.__module__ == module.__name__
    ]
    if len(models) != 1:
        raise ImportError(f"{module.__file__} defines {len(models)} models; a file of systems/ defines one.")
    return models[0]


_MODULES = [import_module(f"{__name__}.{file.name}") for file in pkgutil.iter_modules(__path__) if not file.ispkg]
_MODELS: list[type[EmotionModel]] = [M4SERModel, *map(_model_class, _MODULES)]

SYSTEMS = {model.config_class.model_type: model for model in _MODELS}

PUBLICATIONS: dict[str, Publication] = {
    _model_class(module).config_class.model_type: module.PUBLICATION
    for module in _MODULES
    if hasattr(module, "PUBLICATION")
}
