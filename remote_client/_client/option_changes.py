"""The arguments of `with_options` as changes to the options of calls."""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType
from typing import Any, TypedDict, cast

from .._settings.durations import Duration
from ..errors import UnsupportedError
from ..settings import CallOptions, MetadataSource, Output, Protocol


class OptionChanges(TypedDict, total=False):
    """Arguments of `with_options` that are given. Metadata of several calls of it add up."""

    timeout: Duration | None
    total_timeout: Duration | None
    retries: int
    metadata: tuple[MetadataSource, ...]
    output: Output


def given_changes(
    timeout: Duration | EllipsisType | None,
    total_timeout: Duration | EllipsisType | None,
    retries: int | None,
    metadata: MetadataSource | None,
    output: Output | None,
) -> OptionChanges:
    """Return the arguments that are given."""
    given: OptionChanges = {}
    if not isinstance(timeout, EllipsisType):
        given["timeout"] = timeout
    if not isinstance(total_timeout, EllipsisType):
        given["total_timeout"] = total_timeout
    if retries is not None:
        given["retries"] = retries
    if metadata is not None:
        given["metadata"] = (metadata,)
    if output is not None:
        given["output"] = output
    return given


def changed_fields(options: CallOptions, given: OptionChanges) -> dict[str, Any]:
    """Return the new values of the fields that change.

    Raises:
        ConfigurationError: `retries` is no number of attempts.
    """
    changes: dict[str, Any] = {name: value for name, value in given.items() if name not in ("retries", "metadata")}
    if "retries" in given:
        changes["retry"] = options.retry.replace(retries=given["retries"])
    if "metadata" in given:
        changes["metadata"] = (*options.metadata, *given["metadata"])
    return changes


def packed(given: OptionChanges) -> dict[str, Any]:
    """Return changes as they can be pickled: metadata in options, which know how to."""
    changes: dict[str, Any] = {**given}
    if "metadata" in given:
        changes["metadata"] = CallOptions(metadata=given["metadata"])
    return changes


def unpacked(changes: dict[str, Any]) -> OptionChanges:
    """Return the changes that were packed."""
    if "metadata" in changes:
        changes = {**changes, "metadata": changes["metadata"].metadata}
    return cast("OptionChanges", changes)


def check_output(output: Output | None, protocols: Sequence[Protocol]) -> None:
    """Raise an UnsupportedError for an output that a protocol does not have."""
    if output in ("proto", "numpy") and "http" in protocols:
        raise UnsupportedError(f'output="{output}": HTTP has no protobuf messages; connect to the runtime\'s gRPC port')
