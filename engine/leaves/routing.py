"""What routes are made of, and the leaves that they have made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ...sql.provider import SystemRelation
    from ...storage.snapshot import Snapshot, TableState
    from ...storage.store import Store
    from ..files.functions import FileFunctions
    from ..kernel import Kernel
    from .cold_columns import ColdColumns
    from .delta import Deltas
    from .hot_tier import HotTier
    from .leaf_source import Scannable
    from .route import Route
    from .table_leaf import Part


@dataclass(frozen=True, slots=True)
class BuiltLeaf:
    """A table leaf whose view exists.

    Attributes:
        state: The table at the snapshot.
        parts: What the view puts together.
        located: Name of a view that also tells part and position of each row, made on demand.
    """

    state: TableState
    parts: tuple[Part, ...]


@dataclass(slots=True)
class Routing:
    """What routes are made of.

    Attributes:
        kernel: Where they live.
        store: Where pages come from.
        hot: Hot segments.
        deltas: Fresh rows.
        system: System relations by name.
        system_source: Makes the scannable of a system relation at a snapshot.
        introspect: Makes the functions about the catalog in a route; the name of the database
            that they read, which lives as long as the route.
        files: What views and macros about files call.
        cold: Columns that hot segments leave out.
    """

    kernel: Kernel
    store: Store
    hot: HotTier
    deltas: Deltas
    system: Mapping[str, SystemRelation]
    system_source: Callable[[str, Snapshot], Scannable]
    introspect: Callable[[Route], str]
    files: FileFunctions
    cold: ColdColumns
