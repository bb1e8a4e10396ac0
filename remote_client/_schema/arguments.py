"""The binding of a call's arguments to parameters."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from copy import copy
from types import NoneType
from typing import Any, get_args

from .._text.cleaning import listed
from ..errors import InputError


def required_parameters(signature: inspect.Signature) -> set[str]:
    """Return the names of the parameters that must be given and must not be None."""
    return {
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.default is inspect.Parameter.empty
        and parameter.kind is not inspect.Parameter.VAR_KEYWORD
        and parameter.annotation is not Any
        and NoneType not in get_args(parameter.annotation)
    }


def option_hint(name: str) -> str:
    """Return how to set an option of calls that was given as an argument, to end an error with."""
    return f"; with_options({name}=...) sets it for a call" if name in _OPTIONS else ""


_OPTIONS = frozenset({"timeout", "total_timeout", "retries", "metadata", "output"})


class Binder:
    """Binds arguments to the parameters of one method.

    Args:
        name: the method's name, for errors.
        signature: its parameters; those without a default are required.
        attributes: a parameter's name on the wire -> its name in the signature.
        hint: what to say if other arguments were given in the place of required ones.
    """

    def __init__(self, name: str, signature: inspect.Signature, attributes: Mapping[str, str], hint: str = "") -> None:
        self._name = name
        self._attributes = attributes
        self._hint = f"; {hint}" if hint else ""
        parameters = signature.parameters.values()
        named = [parameter for parameter in parameters if parameter.kind is not inspect.Parameter.VAR_KEYWORD]
        self.positions = tuple(parameter.name for parameter in named)
        self.required = tuple(parameter.name for parameter in named if parameter.default is inspect.Parameter.empty)

    @property
    def wire_names(self) -> dict[str, str]:
        """See `Codec`."""
        return {attribute: name for name, attribute in self._attributes.items() if name != attribute}

    def named(self, name: str) -> Binder:
        """Return the binder of another method with the same parameters."""
        other = copy(self)
        other._name = name
        return other

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments by parameter, with unknown names as they are.

        Raises:
            InputError: a required argument is missing or None, there are too many, or one is given twice.
        """
        if args:
            kwargs = self._with_positional(args, kwargs)
        for name in self.required:
            if kwargs.get(name) is None:
                return self._by_attribute(kwargs)
        return kwargs

    def _with_positional(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        if len(args) > len(self.positions):
            raise InputError(f"{self._name}() takes {len(self.positions)} arguments, not {len(args)}")
        positional = dict(zip(self.positions, args, strict=False))
        if not kwargs:
            return positional
        if twice := positional.keys() & kwargs.keys():
            raise InputError(f"{self._name}(): {', '.join(sorted(twice))}: given twice")
        return positional | kwargs

    def _by_attribute(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return arguments among which a required one seems to miss: it may have its name on the wire."""
        kwargs = {self._attributes.get(name, name): value for name, value in given.items()}
        missing = [name for name in self.required if kwargs.get(name) is None]
        if missing:
            unknown = [str(name) for name in kwargs if name not in self.positions]
            also = f"; there is no argument {listed(unknown, len(unknown))}{self._hint}" if unknown else ""
            raise InputError(f"{self._name}(): missing required argument: {listed(missing, len(missing))}{also}")
        return kwargs
