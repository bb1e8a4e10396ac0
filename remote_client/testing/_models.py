"""The models of a fake runtime: those it was made with, deployed ones and trained ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from .._schema.declaration import declaration_of
from ..errors import (
    AlreadyExistsError,
    ConfigurationError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
)


@dataclass
class Model:
    """A model.

    Attributes:
        name: its name.
        instance: the object whose methods answer; None if it was deployed and nobody has called it yet.
        files: the contents of its files, by name, if it was deployed.
    """

    name: str
    instance: Any = None
    files: Mapping[str, bytes] = field(default_factory=dict)

    def info(self) -> dict[str, Any]:
        """Return its entry in the list of models."""
        if self.instance is None:
            return {"name": self.name, "loaded": False}
        declaration = declaration_of(type(self.instance))
        return {
            "model_path": f"/models/{self.name}",
            "name": self.name,
            "size": sum(map(len, self.files.values())) or 1,
            "metadata": {},
            "loaded": True,
            "module_id": declaration.id,
            "module_metadata": {"name": declaration.name, "version": declaration.version},
        }


class Models:
    """The models by name.

    Args:
        models: name -> a declared module's class, or an instance of it.

    Raises:
        ConfigurationError: a class is not declared, or cannot be instantiated.
    """

    def __init__(self, models: Mapping[str, Any]) -> None:
        for module in models.values():
            declaration_of(module if isinstance(module, type) else type(module))
        self._models = {name: Model(name, instance_of(module)) for name, module in models.items()}
        self._classes = list(dict.fromkeys(type(model.instance) for model in self._models.values()))

    @property
    def classes(self) -> list[type]:
        """The classes of the models that the runtime was made with: its library."""
        return self._classes

    def infos(self, names: Iterable[str] = ()) -> list[dict[str, Any]]:
        """Return the entries of some models, or of all.

        Raises:
            NotFoundError: there is no such model.
        """
        wanted = [*names] or [*self._models]
        for name in wanted:
            if name not in self._models:
                raise NotFoundError(f"Model {name} is not loaded")
        return [self._models[name].info() for name in wanted]

    def instance(self, name: str) -> Any:
        """Return the object that answers for a model. A deployed one is loaded now, as the real runtime does.

        Raises:
            InvalidArgumentError: no model is named.
            NotFoundError: there is no such model.
            InternalError: the configuration of a deployed one names no module of the library.
        """
        if not name:
            raise InvalidArgumentError("Missing required model ID")
        model = self._models.get(name)
        if model is None:
            raise NotFoundError(f"Model {name} not found")
        if model.instance is None:
            model.instance = self._load(model)
        return model.instance

    def _load(self, model: Model) -> Any:
        try:
            config = yaml.safe_load(model.files.get("config.yml", b""))
        except yaml.YAMLError:
            config = None
        wanted = config.get("module_id") if isinstance(config, dict) else None
        for kind in self._classes:
            if wanted and declaration_of(kind).id == wanted:
                return instance_of(kind)
        raise InternalError(f"Model '{model.name}' cannot be loaded: its config.yml names the module {wanted!r}")

    def example(self, module: type) -> Any:
        """Return an object of a class of the library."""
        return next(model.instance for model in self._models.values() if type(model.instance) is module)

    def add(self, name: str, instance: Any) -> None:
        """Serve a trained model."""
        self._models[name] = Model(name, instance)

    def deploy(self, name: str, files: Mapping[str, bytes]) -> dict[str, Any]:
        """Add a model, and return its entry in the list of models.

        Raises:
            InvalidArgumentError: it has no name or no files.
            AlreadyExistsError: there is one of that name.
        """
        if not name:
            raise InvalidArgumentError("Must provide model_id")
        if not files or not all(map(str.strip, files)):
            raise InvalidArgumentError("Must provide at least one model_files entry and all must be valid file names")
        if name in self._models:
            raise AlreadyExistsError(f"Model '{name}' already exists")
        self._models[name] = Model(name, files=files)
        return {"model_path": f"/models/{name}", "name": name, "size": sum(map(len, files.values())), "loaded": False}

    def undeploy(self, name: str) -> dict[str, Any]:
        """Remove a model.

        Raises:
            InvalidArgumentError: it has no name.
            NotFoundError: there is none of that name.
        """
        if not name:
            raise InvalidArgumentError("Must provide model_id")
        if self._models.pop(name, None) is None:
            raise NotFoundError(f"Cannot undeploy unknown model {name}")
        return {"model_id": name}


def instance_of(module: Any) -> Any:
    """Return the object whose methods answer: an instance of a class, or the given one."""
    if not isinstance(module, type):
        return module
    try:
        return module()
    except TypeError as error:
        raise ConfigurationError(
            f"{module.__name__} cannot be made without arguments, so give an instance: {error}"
        ) from None
