"""The models that a server lists. A model's object is made when it is asked for, as programs use few of many models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .runtime_info import ModelInfo

    _Models = Mapping[str, ModelInfo]
else:
    _Models = Mapping


class ListedModels(_Models):
    """Models by name. Any thread may ask for them.

    Args:
        rows: the models in the order of the list, as objects or as what `make` makes them of.
        make: makes objects; without it all are made.
    """

    def __init__(
        self, rows: Mapping[str, Any], make: Callable[[Sequence[Any]], Iterable[ModelInfo]] | None = None
    ) -> None:
        self._rows = rows
        self._make = make
        self._made: dict[str, ModelInfo] = {} if make else dict(rows)
        self._all: Mapping[str, ModelInfo] | None = None
        self._module_ids: Mapping[str, set[str]] | None = None

    def __getitem__(self, name: str) -> ModelInfo:
        if name not in self._made:
            self._complete([name])
        return self._made[name]

    def _complete(self, names: list[str]) -> None:
        rows = [self._rows[name] for name in names]
        for name, info in zip(names, self._make(rows) if self._make else rows, strict=True):
            self._made.setdefault(name, info)

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def unmade(self) -> int:
        """The number of models without an object."""
        return len(self._rows) - len(self._made)

    @property
    def all(self) -> Mapping[str, ModelInfo]:
        """The objects of all models by name."""
        if self._all is None:
            self._complete([name for name in self._rows if name not in self._made])
            self._all = {name: self._made[name] for name in self._rows}
        return self._all

    @property
    def module_ids(self) -> Mapping[str, set[str]]:
        """The ids of the models' modules, by the modules' names."""
        if self._module_ids is None:
            found: dict[str, set[str]] = {}
            for info in self.all.values():
                found.setdefault(info.module_name, set()).add(info.module_id)
            self._module_ids = found
        return self._module_ids

    def after(self, others: Mapping[str, ModelInfo]) -> ListedModels:
        """Return the models with others before them, without those that are listed."""
        if not others:
            return self
        new = {name: info for name, info in others.items() if name not in self._rows}
        return self._with({**others, **self._rows}, {**new, **self._made})

    def with_model(self, name: str, info: ModelInfo) -> ListedModels:
        """Return the models with another one."""
        return self._with({**self._rows, name: info}, {**self._made, name: info})

    def without(self, name: str) -> ListedModels:
        """Return the models without one."""
        return self._with({key: row for key, row in self._rows.items() if key != name}, self._made)

    def _with(self, rows: Mapping[str, Any], made: Mapping[str, ModelInfo]) -> ListedModels:
        other = ListedModels(rows, self._make)
        other._made = {name: info for name, info in made.items() if name in rows}
        return other
