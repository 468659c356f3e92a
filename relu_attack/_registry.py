"""Named entries: those of the package, those that users register, and those of installed plugins."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from relu_attack._checks import in_one_line, warn
from relu_attack._names import one_of
from relu_attack.errors import OptionError

GROUP = "relu_attack.plugins"
"""The group of entry points by which an installed package offers plugins."""

Entry = TypeVar("Entry")


class Plugins:
    """The plugins of installed packages, each loaded once, when a name is looked up that nothing else has.

    An entry point names a module, whose import registers, or a function without arguments that does.
    """

    def __init__(self) -> None:
        self._loaded = False

    def load(self) -> None:
        """Load what was not loaded yet; a plugin that fails is a warning, and the others are loaded."""
        if self._loaded:
            return
        self._loaded = True
        for entry in entry_points(group=GROUP):
            try:
                found = entry.load()
                if callable(found):
                    found()
            except Exception as reason:  # a plugin may raise anything
                warn(f"the plugin {entry.name} ({entry.value}) cannot be loaded: {in_one_line(reason)}")


PLUGINS = Plugins()
"""The plugins of this process."""


class Registry(Mapping[str, Entry], Generic[Entry]):
    """Entries by name. To list them, or to look an unknown name up, loads plugins first.

    `what` is what an entry is called in messages; `entries` are those of the package, which cannot be replaced.

    >>> colours = Registry("colour", {"red": 1})
    >>> colours.register("blue", 2)
    >>> list(colours), colours.find("blue")
    (['red', 'blue'], 2)
    >>> colours.find("bleu")
    Traceback (most recent call last):
    relu_attack.errors.OptionError: colour is 'bleu'; it must be one of red, blue; did you mean 'blue'?
    """

    def __init__(self, what: str, entries: Mapping[str, Entry]) -> None:
        self._what, self._entries = what, dict(entries)
        self.built_in: Collection[str] = tuple(entries)

    def __getitem__(self, name: str) -> Entry:
        if name not in self._entries:
            PLUGINS.load()
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        PLUGINS.load()
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        PLUGINS.load()
        return len(self._entries)

    def find(self, name: object) -> Entry:
        """Return the entry of that name; raise `OptionError` with the list of names if there is none."""
        if not isinstance(name, str) or name not in self:
            one_of(name, self, name=self._what)
        return self._entries[str(name)]

    def register(self, name: str, entry: Entry) -> None:
        """Add an entry, or replace a registered one; raise `OptionError` for a name that the package has itself."""
        if not isinstance(name, str) or not name.isidentifier():
            raise OptionError(f"name of the {self._what} is {name!r}; give a word of letters, digits and underscores")
        if name in self.built_in:
            raise OptionError(f"{name!r} is a {self._what} of the package itself; choose another name")
        self._entries[name] = entry
