"""Deploying a model on the first runtime: its files, given by name or read from a folder, and the requests."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .._concurrency.threads import run_in_thread
from .._text.cleaning import short_repr, type_name
from ..errors import InputError, NotFoundError

if TYPE_CHECKING:
    from .._schema.runtime_info import ModelInfo
    from .finder_group import FinderGroup

Links = Literal["follow"] | None
"""What `RemoteClient.deploy_model` does with links out of a folder: None refuses them, `"follow"` sends the targets."""
GRPC_LIMIT = 2**31 - 1
"""Bytes of the largest message that protobuf can write. The runtime's limit is lower, but unknown here."""
_ODD_KINDS = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


async def deploy(
    finders: FinderGroup, name: str, files: Mapping[str, bytes] | str | os.PathLike[str], links: Links
) -> ModelInfo:
    """See `RemoteClient.deploy_model`."""
    check_name(name)
    first = finders.known[0]
    discovery = finders.discovery(first)
    limit = GRPC_LIMIT if finders.of(first).config.protocol == "grpc" else None
    found = await run_in_thread(partial(model_files, files, links, limit=limit))
    rpc = await discovery.runtime_method(first, "DeployModel")
    body = await run_in_thread(rpc.codec.encode, "", (), {"model_id": name, "model_files": found})
    try:
        answer = await first.caller.send_once(rpc, body, name)
    finally:  # also if the outcome is unknown
        discovery.invalidate_polls()
    from .._schema.runtime_info import ModelInfo

    info = ModelInfo(**{key: value for key, value in answer.items() if value is not None})
    discovery.record_deployed(first, name, info)
    return info


async def undeploy(finders: FinderGroup, name: str) -> None:
    """See `RemoteClient.undeploy_model`."""
    check_name(name)
    first = finders.known[0]
    discovery = finders.discovery(first)
    rpc = await discovery.runtime_method(first, "UndeployModel")
    try:
        await first.caller.send_once(rpc, rpc.codec.encode("", (), {"model_id": name}), name)
    except NotFoundError:
        discovery.record_undeployed(first, name)
        raise
    except BaseException:  # the outcome may be unknown: the server's next list decides
        first.deployed.pop(name, None)
        discovery.invalidate_polls()
        raise
    discovery.record_undeployed(first, name)


def check_name(name: str) -> None:
    """Raise an InputError for a model's name that leads out of the runtime's folder of models, or cannot be sent."""
    if not isinstance(name, str) or not name.isascii() or not name.isprintable() or not is_inside(name) or "/" in name:
        raise InputError(f"model: {name!r} cannot be the name of a model: printable ASCII, and no path")


def check_links(links: Links) -> None:
    """Raise an InputError for a value of `links` that is neither None nor "follow"."""
    if links is not None and links != "follow":
        raise InputError(f"links: expected None or 'follow', not {short_repr(links)}")


def model_files(
    source: Mapping[str, bytes] | str | os.PathLike[str], links: Links = None, *, limit: int | None = None
) -> list[dict[str, Any]]:
    """Return the files of a model's request. Reads a folder, and so blocks: use a thread."""
    check_links(links)
    files = source if isinstance(source, Mapping) else read_folder(source, links, limit=limit)
    return checked_files(files, limit)


def checked_files(files: Mapping[str, bytes], limit: int | None = None) -> list[dict[str, Any]]:
    """Return the files of a model's request.

    Args:
        files: the contents by the files' names.
        limit: bytes of the largest model that can be sent; None for no limit.

    Raises:
        InputError: there is no file, a name leads out of the model's folder or occurs twice, a content is not bytes, or
            the files are too large.
    """
    if not files:
        raise InputError("files: a model has at least one, its config.yml")
    found: dict[str, bytes] = {}
    for name, data in files.items():
        _check_file(name)
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise InputError(f"files: {name!r}: expected bytes, not {type_name(data)}")
        plain = str(PurePosixPath(name))
        if plain in found:
            raise InputError(f"files: {plain!r} is given twice")
        found[plain] = bytes(data)
    for name in found:
        for folder in map(str, PurePosixPath(name).parents):
            if folder in found:
                raise InputError(f"files: {folder!r} is a file and the folder of {name!r}")
    _check_size(sum(map(len, found.values())), limit)
    return [{"filename": name, "data": data} for name, data in found.items()]


def _check_file(name: Any) -> None:
    if not isinstance(name, str) or not name.isprintable() or not is_inside(name) or name.endswith("/"):
        raise InputError(f"files: {name!r} would not be a file in the model's folder")
    if name != name.strip():
        raise InputError(f"files: {name!r} begins or ends with white space, which the runtime cuts off")


def _check_size(size: int, limit: int | None) -> None:
    if limit is not None and size > limit:
        raise InputError(f"files: {size} bytes are more than a message of gRPC can have ({limit}); deploy over HTTP")


def is_inside(name: str) -> bool:
    """Return whether a relative path stays in its folder, on any system."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and not set(name) & {"\\", ":"}


class _Entry(NamedTuple):
    """A file or folder: its name in the model, its real path, and its `stat` when it was listed."""

    name: str
    path: str
    state: os.stat_result

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.state.st_mode)


def read_folder(folder: str | os.PathLike[str], links: Links = None, *, limit: int | None = None) -> dict[str, bytes]:
    """Return all files of a folder by their relative names. Blocks: use a thread.

    Args:
        folder: its path. Links that stay inside are replaced by their targets.
        links: "follow" does so with links that lead out of the folder.
        limit: bytes that the files may have together, checked before any is read; None for no limit.

    Raises:
        InputError: it is no folder, or an entry cannot be read; the message names the entry.
    """
    entries = list(_entries(_root(folder), links))
    files = [entry for entry in entries if not entry.is_folder]
    _check_size(sum(file.state.st_size for file in files), limit)
    found = {file.name: _content(file) for file in sorted(files)}
    folders = [entry for entry in entries if entry.is_folder]
    for entry in [*files, *folders]:  # files first: the message names a changed file, not its folder
        _check_unchanged(entry)
    return found


def _root(folder: Any) -> _Entry:
    try:
        path = os.fsdecode(folder)
    except TypeError:
        raise InputError(f"files: expected a mapping or the path of a folder, not {type_name(folder)}") from None
    try:
        state = os.stat(path)  # before `realpath`, which takes an empty path for the working folder
        root = _Entry("", os.path.realpath(path, strict=True), state)
        if root.is_folder:
            os.scandir(root.path).close()
            return root
    except PermissionError as error:
        raise InputError(f"files: {path!r} cannot be read: {error.strerror}") from None
    except (OSError, ValueError):  # a path with a null byte is a ValueError
        pass
    raise InputError(f"files: {path!r} is no folder")


def _entries(root: _Entry, links: Links) -> Iterator[_Entry]:
    """Yield a folder and all its entries, without recursion: folders may be nested deeper than Python's stack."""
    yield root
    waiting = [(root, {root.path})]
    while waiting:
        folder, around = waiting.pop()
        for name in _names(folder):
            entry = _entry(folder, name, None if links else root.path)
            yield entry
            if entry.path in around:
                raise InputError(f"files: {entry.name!r} is a link that leads back to a folder it is in")
            if entry.is_folder:
                waiting.append((entry, around | {entry.path}))


def _names(folder: _Entry) -> list[str]:
    try:
        return sorted(os.listdir(folder.path))  # sorted, so that the first error is always the same
    except OSError as error:
        raise _unreadable(folder.name, folder.path, error) from None


def _entry(folder: _Entry, name: str, inside: str | None) -> _Entry:
    """Return the entry that a name in a folder leads to, which must be `inside` unless that is None."""
    name, path = str(PurePosixPath(folder.name, name)), os.path.join(folder.path, name)
    _check_file(name)
    is_link = os.path.islink(path)
    try:
        real = os.path.realpath(path, strict=True) if is_link else path
        entry = _Entry(name, real, os.stat(real))
    except OSError as error:
        raise _unreadable(name, path, error) from None
    if is_link and inside is not None and not Path(real).is_relative_to(inside):
        raise InputError(
            f'files: {name!r} is a link that leads out of the folder; links="follow" takes what it leads to'
        )
    odd = _ODD_KINDS.get(stat.S_IFMT(entry.state.st_mode))
    if odd is not None:
        raise InputError(f"files: {name!r} is {odd}, not a file")
    return entry


def _content(file: _Entry) -> bytes:
    size = file.state.st_size
    try:
        with open(file.path, "rb", opener=_at_once) as opened:
            data = opened.read(size + 1)  # not to the end: the file may have become an endless device
    except OSError as error:
        raise _unreadable(file.name, file.path, error) from None
    if len(data) != size:
        raise _changed(file)
    return data


def _at_once(path: str, flags: int) -> int:
    """Open a file without waiting for a writer, if it has become a FIFO."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_unchanged(entry: _Entry) -> None:
    """Check that an entry did not change while the folder was read, which would mix two states of the model."""
    try:
        now = os.stat(entry.path)
    except OSError as error:
        raise _unreadable(entry.name, entry.path, error) from None
    before = entry.state
    if (now.st_ino, now.st_size, now.st_mtime_ns) != (before.st_ino, before.st_size, before.st_mtime_ns):
        raise _changed(entry)


def _changed(entry: _Entry) -> InputError:
    return InputError(f"files: {entry.name or entry.path!r} changed while the folder was read")


def _unreadable(name: str, path: str, error: OSError) -> InputError:
    reason = f"cannot be read: {error.strerror}"
    if isinstance(error, FileNotFoundError):
        reason = "is a link that leads nowhere" if os.path.islink(path) else "vanished while the folder was read"
    elif error.errno == errno.ELOOP:
        reason = "is a link that leads back to itself"
    return InputError(f"files: {name or path!r} {reason}")
