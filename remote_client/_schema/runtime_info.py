"""The information a runtime gives about itself and its models."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import SchemaValidator, core_schema

from .._objects.exports import exported_from
from .._text.tables import ShownAsTable, html_table, table, text_table
from .listed_models import ListedModels

# Annotations must not be strings here: `get_type_hints` would look up the names in `remote_client`.


class _Info(ShownAsTable, BaseModel):
    # A newer runtime may send more fields.
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    def __str__(self) -> str:
        return text_table((name, value) for name, value in self if value is not None)

    def _repr_html_(self) -> str:
        return table(type(self).__name__, self)


@exported_from("remote_client")
class ModelInfo(_Info):
    """One model of a runtime, from its `GetModelsInfo`.

    Attributes:
        name: how calls name the model.
        module_id: the id of its module; empty for a model that was deployed but never used.
        module_name: the module's name: not unique, and not the name of its class.
        loaded: whether it is in memory. If it is not, the first call loads it.
        size: bytes, as the runtime estimates them.
        metadata: the metadata in the model's configuration.
        model_path: its path in the runtime; empty if the runtime does not reveal it.
        module_metadata: `name` and `version` of the module.
    """

    name: str
    module_id: str = ""
    loaded: bool = False
    size: int = 0
    metadata: Mapping[str, Any] | None = Field(default=None)
    model_path: str = ""
    module_metadata: Mapping[str, str] = Field(default_factory=dict)

    @property
    def module_name(self) -> str:
        return self.module_metadata.get("name", "")


class ModelList(ShownAsTable, list[ModelInfo]):
    """A list whose `str()` is a table of the models, in text and in a notebook."""

    _header: ClassVar[tuple[str, ...]] = ("NAME", "MODULE", "MODULE ID", "LOADED", "BYTES")

    def __str__(self) -> str:
        return text_table(self._rows(), self._header, whole=1)

    def _repr_html_(self) -> str:
        return html_table(self._rows(), self._header)

    def _rows(self) -> Iterator[tuple[object, ...]]:
        for info in self:
            yield info.name, info.module_name, info.module_id, info.loaded, info.size


def read_models(models: Any) -> ListedModels:
    """Return the models of a list as JSON has it, with null for what is unknown.

    Raises:
        Exception: it is no list of models; see `validation_reason`.
    """
    try:
        rows = _rows().validate_python(models)
    except ValidationError:  # of which one model's error tells more
        return ListedModels({info.name: info for info in _made(models)})
    return ListedModels({row["name"]: row for row in rows}, _made)


@cache
def _rows() -> SchemaValidator:
    """Return what checks the values of models, in a third of the time that their objects take."""
    text = core_schema.str_schema()
    kinds: dict[str, Any] = {
        "module_id": text,
        "loaded": core_schema.bool_schema(),
        "size": core_schema.int_schema(),
        "metadata": core_schema.dict_schema(text),
        "model_path": text,
        "module_metadata": core_schema.dict_schema(text, text),
    }
    fields = {
        name: core_schema.typed_dict_field(core_schema.nullable_schema(kind), required=False)
        for name, kind in kinds.items()
    }
    fields["name"] = core_schema.typed_dict_field(text)
    return SchemaValidator(core_schema.list_schema(core_schema.typed_dict_schema(fields)))


def _made(rows: Iterable[Mapping[str, Any]]) -> list[ModelInfo]:
    return [ModelInfo(**{key: value for key, value in row.items() if value is not None}) for row in rows]


@exported_from("remote_client")
class RuntimeInfo(_Info):
    """The versions of a runtime, from its `GetRuntimeInfo`.

    Attributes:
        runtime_version: the version that its operator set; empty if none was set.
        python_packages: package name -> version.
    """

    runtime_version: str = ""
    python_packages: Mapping[str, str] = Field(default_factory=dict)

    def __str__(self) -> str:
        versions = [("runtime", self.runtime_version)] if self.runtime_version else []
        return text_table([*versions, *sorted(self.python_packages.items())], ("PACKAGE", "VERSION"))


def validation_reason(error: Exception) -> str:
    """Return why an answer is not valid, without its values, which may repeat a credential."""
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False)[0]
        return f"{first['loc'][0]}: {first['msg']}"
    return type(error).__name__
