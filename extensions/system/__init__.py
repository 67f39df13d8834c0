"""System relations: what the engine knows of itself, as rows of the schema ``pagelake``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..registry import Registry


def register(registry: Registry) -> None:
    """Register the relations of this folder."""
    from .devices import Devices
    from .hot_segments import HotSegments
    from .maintenance import MaintenanceRelation
    from .pages import Pages
    from .queries import Queries
    from .relations import Relations
    from .reports import ReportsRelation
    from .result_cache import ResultCacheRelation
    from .row_groups import RowGroups
    from .segments import Segments
    from .settings import SettingsRelation
    from .snapshots import Snapshots
    from .tags import Tags

    for relation in (
        Devices,
        HotSegments,
        MaintenanceRelation,
        Pages,
        Queries,
        Relations,
        ReportsRelation,
        ResultCacheRelation,
        RowGroups,
        Segments,
        SettingsRelation,
        Snapshots,
        Tags,
    ):
        registry.add_system(relation.name, relation)
