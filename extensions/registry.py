"""What plugs into the engine, through one door.

An extension registers what it adds before a database opens; afterwards the registry is sealed.
Names are unique: registering one twice is a mistake of the extension.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import InternalError
from ..sql.provider import SystemRelation

if TYPE_CHECKING:
    from ..storage.snapshot import Snapshot
    from ..storage.store import Store


@dataclass(frozen=True, slots=True)
class SystemContext:
    """What a system relation may look at.

    Attributes:
        store: The store.
        snapshot: The snapshot of the statement.
        hot_segments: Rows of ``pagelake.hot_segments``.
        queries: Rows of ``pagelake.queries``.
        settings: Rows of ``pagelake.settings``.
        maintenance: Rows of ``pagelake.maintenance``.
        result_cache: Rows of ``pagelake.result_cache``.
    """

    store: Store
    snapshot: Snapshot
    hot_segments: Callable[[], list[dict[str, object]]]
    queries: Callable[[], list[dict[str, object]]]
    settings: Callable[[], list[dict[str, object]]]
    maintenance: Callable[[], list[dict[str, object]]] = list
    result_cache: Callable[[], list[dict[str, object]]] = list


SystemFactory = Callable[[SystemContext], SystemRelation]


@dataclass(slots=True)
class Registry:
    """Collects what extensions add."""

    system: dict[str, SystemFactory] = field(default_factory=dict)
    sealed: bool = False

    def add_system(self, name: str, factory: SystemFactory) -> None:
        """Add a relation to the schema ``pagelake``."""
        if self.sealed:
            raise InternalError(f"system relation {name} was registered after opening")
        if name in self.system:
            raise InternalError(f"system relation {name} is registered twice")
        self.system[name] = factory

    def seal(self) -> Mapping[str, SystemFactory]:
        """End registration."""
        self.sealed = True
        return self.system


def builtin_registry() -> Registry:
    """A registry with everything that Pagelake itself brings."""
    from .system import register

    registry = Registry()
    register(registry)
    return registry
