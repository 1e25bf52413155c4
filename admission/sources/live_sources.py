"""The connections of a running service by name; a reload replaces those whose settings changed."""

import logging
from collections.abc import Callable, Iterator, Mapping

from admission.config.base import SourceSection
from admission.sources.base import RemembersRefusals, Source
from admission.sources.registry import build_source

log = logging.getLogger(__name__)


class LiveSources(Mapping[str, Source]):
    """Name -> connection. A name and its type stay until a restart.

    Args:
        settings: name -> the `[sources.X]` table.

    Raises:
        ConfigError: a table cannot work.

    Example:
        sources = LiveSources(settings.sources)
        await sources.replace(new_settings.sources)
        await sources.close()
    """

    def __init__(self, settings: Mapping[str, SourceSection]) -> None:
        self.settings = dict(settings)
        self._sources = {name: build_source(name, one) for name, one in settings.items()}
        self._prepare: list[Callable[[Source], None]] = []

    def __getitem__(self, name: str) -> Source:
        return self._sources[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)

    def prepare_with(self, prepare: Callable[[Source], None]) -> None:
        """Call a function with each connection, those of later replacements included."""
        self._prepare.append(prepare)
        for source in self._sources.values():
            prepare(source)

    def replace(self, settings: Mapping[str, SourceSection]) -> list[Source]:
        """Build the connections anew whose settings changed, and let the others send their
        credentials again.

        Args:
            settings: as read again. Names that are new, gone or of another type are left out.

        Returns:
            The connections that are used no longer, for the caller to close.

        Raises:
            ConfigError: a table cannot work; nothing is replaced.
        """
        changed = {
            name: one
            for name, one in settings.items()
            if self.is_replaceable(name, one) and one != self.settings[name]
        }
        built = {name: build_source(name, one) for name, one in changed.items()}
        for source in built.values():
            for prepare in self._prepare:
                prepare(source)
        old = [self._sources[name] for name in changed]
        self._sources |= built
        self.settings |= changed
        for name, source in self._sources.items():
            if name in changed:
                log.info("source %s uses its new settings", name)
            elif isinstance(source, RemembersRefusals):
                source.forget_refusal()
        return old

    def is_replaceable(self, name: str, settings: SourceSection) -> bool:
        """Whether a table may replace the present one of its name without a restart."""
        return name in self.settings and type(self.settings[name]) is type(settings)

    async def close(self) -> None:
        """Close all connections."""
        for source in self._sources.values():
            await source.close()
