"""How a call's arguments become named values."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from copy import copy
from types import NoneType
from typing import Any, get_args

from .._text.cleaning import listed
from ..errors import InputError


def required_parameters(signature: inspect.Signature) -> set[str]:
    """The parameters that a method cannot be called without: not even None is a value."""
    return {
        each.name
        for each in signature.parameters.values()
        if each.default is inspect.Parameter.empty
        and each.kind is not inspect.Parameter.VAR_KEYWORD
        and each.annotation is not Any
        and NoneType not in get_args(each.annotation)
    }


class Binder:
    """Binds arguments to the parameters of one method.

    Args:
        name: the method's name, for errors.
        signature: its parameters; those without a default are required.
        attributes: a parameter's name on the wire -> its name in the signature, which may differ.
    """

    def __init__(self, name: str, signature: inspect.Signature, attributes: Mapping[str, str]) -> None:
        self._name = name
        self._attributes = attributes
        named = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        self.positions = tuple(each.name for each in named)
        self.required = tuple(each.name for each in named if each.default is inspect.Parameter.empty)

    @property
    def wire_names(self) -> dict[str, str]:
        """See `rpc.Codec`."""
        return {attribute: name for name, attribute in self._attributes.items() if name != attribute}

    def named(self, name: str) -> Binder:
        """Return the binder of another method with the same parameters."""
        other = copy(self)
        other._name = name
        return other

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The values by parameter; a name that is no parameter stays as it is.

        Raises:
            InputError: a required argument is missing or None, there are too many, or one is given twice.
        """
        if args:
            if len(args) > len(self.positions):
                raise InputError(f"{self._name}() takes {len(self.positions)} arguments, not {len(args)}")
            positional = dict(zip(self.positions, args, strict=False))
            if twice := positional.keys() & kwargs.keys():
                raise InputError(f"{self._name}(): {', '.join(sorted(twice))}: given twice")
            kwargs = positional | kwargs
        missing = [each for each in self.required if kwargs.get(each) is None]
        if missing:
            # Rare: a parameter whose name had to be changed may be given by its name on the wire.
            kwargs = {self._attributes.get(name, name): value for name, value in kwargs.items()}
            missing = [each for each in self.required if kwargs.get(each) is None]
            if missing:
                raise InputError(f"{self._name}(): missing required argument: {listed(missing, len(missing))}")
        return kwargs
