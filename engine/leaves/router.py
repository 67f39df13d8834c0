"""The routes of a database: which there are, who holds them, and when they go."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from .route import Route

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...storage.snapshot import Snapshot
    from .routing import Routing

ROUTES_KEPT = 8
"""Routes of past snapshots kept for statements that still run and for open transactions."""
_PAST = "past"
"""Stands for a transaction's id in the keys of routes of earlier versions."""


class Router:
    """Keeps the routes of a database.

    Args:
        routing: What routes are made of.
    """

    def __init__(self, routing: Routing) -> None:
        self.routing = routing
        self._routes: OrderedDict[tuple[int, str, int], Route] = OrderedDict()
        self._stale: list[Route] = []
        self._lock = threading.RLock()

    def hold(self, snapshot: Snapshot, private: str = "") -> Route:
        """The route of a snapshot, kept until ``release``."""
        key = (snapshot.version, private, snapshot.overlay)
        store = self.routing.store
        store.pins.pin(snapshot.version)
        try:
            store.require_kept(snapshot.version)
            with self._lock:
                route = self._routes.get(key)
                if route is None:
                    database = self.routing.kernel.attach_memory("route")
                    route = Route(self.routing, snapshot, private, database, self)
                    self._routes[key] = route
                else:
                    self._routes.move_to_end(key)
                route.users += 1
                self._trim()
                return route
        except BaseException:
            store.pins.unpin(snapshot.version)
            raise

    def hold_past(self, version: int) -> Route:
        """The route of an earlier version, kept until ``release``.

        Raises:
            SnapshotGone: The version can no longer be read.
        """
        store = self.routing.store
        store.pins.pin(version)
        try:
            snapshot = store.snapshot_at(version)
            with self._lock:
                route = self._routes.get((version, _PAST, 0))
                if route is None:
                    database = self.routing.kernel.attach_memory("past")
                    route = Route(self.routing, snapshot, "", database, self, is_past=True)
                    self._routes[version, _PAST, 0] = route
                route.users += 1
                self._routes.move_to_end((version, _PAST, 0))
                return route
        except BaseException:
            store.pins.unpin(version)
            raise

    def release(self, route: Route) -> None:
        """Give a route back."""
        with self._lock:
            route.users -= 1
            if route.users == 0 and route in self._stale:
                self._stale.remove(route)
                route.close()
        self.routing.store.pins.unpin(route.snapshot.version)

    def invalidate(self) -> None:
        """Build new routes from now on: hot segments came or went."""
        with self._lock:
            self._retire(list(self._routes))
            self.routing.hot.sweep(self._sources_in_use)

    def _sources_in_use(self) -> set[str]:
        """Kernel names of the databases that live routes read."""
        return {
            part.source.split(".")[0]
            for route in [*self._routes.values(), *self._stale]
            for leaf in route.leaves()
            for part in leaf.parts
        }

    def forget(self, private: str) -> None:
        """Drop the routes of a transaction that has ended."""
        with self._lock:
            self._retire([key for key in self._routes if key[1] == private])
            self.routing.deltas.forget(private)

    def _trim(self) -> None:
        if len(self._routes) > ROUTES_KEPT:
            unused = [key for key, route in self._routes.items() if route.users == 0]
            self._retire(unused[: len(self._routes) - ROUTES_KEPT])

    def _retire(self, keys: Iterable[tuple[int, str, int]]) -> None:
        for key in keys:
            route = self._routes.pop(key)
            if route.users:
                self._stale.append(route)
            else:
                route.close()

    def close(self) -> None:
        """Drop all routes."""
        with self._lock:
            for route in [*self._routes.values(), *self._stale]:
                route.close()
            self._routes.clear()
            self._stale.clear()
