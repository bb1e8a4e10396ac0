"""What the reference shows beside docstrings: links in their prose, and signatures without marks of checks."""

from __future__ import annotations

import builtins
import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from griffe import (
    Alias,
    Attribute,
    Class,
    Expr,
    ExprBinOp,
    ExprName,
    ExprSubscript,
    ExprTuple,
    Extension,
    Function,
    GriffeLoader,
    Module,
    Object,
)

DOCS = Path(__file__).parent
CODE = re.compile(r"(?<![`\[])`((?:\w+\.)*\w+)(\(\))?`(?!`)")
ERROR = re.compile(r"(?<![\w`.\[/])[A-Z]\w+Error\b(?![\w`(:\]])")
ENTRY = re.compile(r"^ *::: ([\w.]+)", re.MULTILINE)
PAGE = re.compile(r"\bdocs/(\w[\w-]*)\.md\b")


class Reference(Extension):
    """Changes the objects of a package after it was read. The sources stay as `help()` shows them."""

    def on_package(self, *, pkg: Module, loader: GriffeLoader, **_: Any) -> None:
        """Change docstrings, annotations and defaults."""
        links = Links(pkg)
        things = list(objects(pkg))
        for thing in things:
            list_once(thing)
            links.resolve_errors(thing)
        for thing in things:
            if thing.docstring is not None:
                thing.docstring.value = links.linked(thing.docstring.value, thing)
            if isinstance(thing, Function):
                thing.returns = plain(thing.returns, pkg, links.names)
                for parameter in thing.parameters:
                    parameter.annotation = plain(parameter.annotation, pkg, links.names)
                    parameter.default = constant(parameter.default, pkg)
            elif isinstance(thing, Attribute):
                thing.annotation = plain(thing.annotation, pkg, links.names)
                if isinstance(thing.parent, Class):
                    thing.value = constant(thing.value, pkg)


def objects(thing: Object) -> Iterator[Object]:
    """Yield an object and all that is defined in it."""
    yield thing
    for member in thing.members.values():
        if isinstance(member, Object):
            yield from objects(member)


def is_method(name: str, own: Class, thing: Object) -> bool:
    """Return whether a name in the docstring of an object of a class means a method, not an argument."""
    arguments = {parameter.name for parameter in thing.parameters} if isinstance(thing, Function) else set()
    member = own.all_members.get(name)
    return member is not None and member.is_function and name not in arguments


def list_once(thing: Object) -> None:
    """Leave out the entry of a property that the class has in its list of attributes."""
    if isinstance(thing, Class) and thing.docstring is not None:
        _, _, attributes = thing.docstring.value.partition("\nAttributes:\n")
        for name in re.findall(r"^    (\w+): ", attributes, re.MULTILINE):
            if (member := thing.members.get(name)) is not None and "property" in member.labels:
                member.docstring = None


# -- Links ------------------------------------------------------------------------------------------------------------


class Links:
    """The links of code in prose: to the entries of the pages in `docs/reference/`, and to pages."""

    def __init__(self, pkg: Module) -> None:
        self._pkg = pkg
        pages = sorted((DOCS / "reference").glob("*.md"))
        self._pages = {f"{pkg.path}.{page.stem}": page.name for page in pages}
        self._entries = {name for page in pages for name in ENTRY.findall(page.read_text())}
        self._by_name: dict[str, set[str]] = defaultdict(set)
        for entry in self._entries:
            self._by_name[entry.rpartition(".")[2]].add(entry)

    @property
    def names(self) -> Collection[str]:
        """The names that have an entry."""
        return self._by_name.keys()

    def linked(self, text: str, thing: Object) -> str:
        """Return the docstring of an object with links."""

        def code(match: re.Match[str]) -> str:
            name, call = match[1], match[2] or ""
            if name in self._pages:
                return f"[{match[0]}]({self._pages[name]})"
            target = self._target(name, bool(call), thing)
            return match[0] if target is None else f"[{match[0]}][{target}]"

        def error(match: re.Match[str]) -> str:
            return f"`{match[0]}`" if match[0] in self._by_name else match[0]

        def page(match: re.Match[str]) -> str:
            title = (DOCS / f"{match[1]}.md").read_text().partition("\n")[0].removeprefix("# ")
            return f"[{title}](../{match[1]}.md)"

        return PAGE.sub(page, CODE.sub(code, ERROR.sub(error, text)))

    def resolve_errors(self, thing: Object) -> None:
        """Let the errors that a docstring lists be found from a module that does not import them."""
        for name in re.findall(r"^ +(\w+Error): ", thing.docstring.value if thing.docstring else "", re.MULTILINE):
            if (target := self._entry(name, thing)) is not None and name not in thing.module.members:
                thing.module.set_member(name, Alias(name, target))

    def _target(self, name: str, is_call: bool, thing: Object) -> str | None:
        """Return the entry or the member of one that a name in the docstring of an object means."""
        own = thing if isinstance(thing, Class) else thing.parent
        if isinstance(own, Class) and (is_call or is_method(name, own, thing)) and "." not in name:
            entry = self._entry(own.name, own)
            return None if entry is None or own.members.get(name) is thing else self._member(entry, name)
        if (entry := self._entry(name, thing)) is not None:
            return None if isinstance(own, Class) and entry == self._entry(own.name, own) else entry
        start, _, member = name.rpartition(".")
        entry = self._entry(start, thing) if start else None
        return None if entry is None else self._member(entry, member)

    def _entry(self, name: str, thing: Object) -> str | None:
        """Return the entry of a name: of the module that is nearest to an object, else the only one elsewhere."""
        if name in self._entries:
            return name
        path = thing.path
        while path:
            if f"{path}.{name}" in self._entries:
                return f"{path}.{name}"
            path = path.rpartition(".")[0]
        found = self._by_name[name.rpartition(".")[2]] if name.startswith(self._pkg.path) or "." not in name else set()
        return next(iter(found)) if len(found) == 1 else None

    def _member(self, entry: str, name: str) -> str | None:
        member = self._pkg[entry.removeprefix(f"{self._pkg.path}.")].all_members.get(name)
        is_shown = member is not None and not name.startswith("_") and member.has_docstring
        return f"{entry}.{name}" if is_shown else None


# -- Signatures -------------------------------------------------------------------------------------------------------


def plain(annotation: Any, pkg: Module, names: Collection[str]) -> Any:
    """Return an annotation without `Annotated`, whose marks say how a value is checked, and without internal names.

    A name that stands for a type and has no entry, such as `OnError`, becomes what it stands for.
    """
    if isinstance(annotation, ExprName) and hasattr(builtins, annotation.name):
        return annotation.name  # not a method of that name, such as `ServiceDescription.type`
    if isinstance(annotation, ExprName):
        value = constant(annotation, pkg)
        is_internal = annotation.name not in names and isinstance(value, (ExprSubscript, ExprBinOp))
        return plain(value, pkg, names) if is_internal or is_annotated(value) else annotation
    if is_annotated(annotation):
        return plain(annotation.slice.elements[0], pkg, names)
    if isinstance(annotation, Expr):
        for field in fields(annotation):
            value = getattr(annotation, field.name)
            made = [plain(each, pkg, names) for each in value] if isinstance(value, list) else plain(value, pkg, names)
            setattr(annotation, field.name, made)
    return annotation


def is_annotated(value: Any) -> bool:
    """Return whether an expression is `Annotated[...]`."""
    return (
        isinstance(value, ExprSubscript)
        and value.canonical_path.endswith(".Annotated")
        and isinstance(value.slice, ExprTuple)
    )


def constant(value: Any, pkg: Module) -> Any:
    """Return the value of a name that stands for one of the package's own, else what was given."""
    if not isinstance(value, ExprName):
        return value
    _, _, path = value.canonical_path.partition(f"{pkg.path}.")
    try:
        found = pkg[path] if path else None
        found = found.final_target if found is not None and found.is_alias else found
    except (KeyError, AttributeError):
        return value
    if isinstance(found, Attribute) and isinstance(found.parent, Module) and found.value is not None:
        return found.value
    return value
