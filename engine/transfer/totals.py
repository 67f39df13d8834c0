"""How much there is to copy: only looked at for a progress bar."""

from __future__ import annotations

import os
import stat
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from ...storage.files.file_error import FileError
from .stores import expanded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .place import Place
    from .stores import Stores
    from .watch import Watch


def count_totals(stores: Stores, places: Sequence[Place], watch: Watch) -> None:
    """Note what is to be copied; local trees are counted beside the copying.

    Args:
        stores: The stores that take part.
        places: What is copied.
        watch: Gets the totals.
    """
    size = entries = 0
    local: list[bytes] = []
    for place in places:
        if place.is_stream:
            return
        if place.store is None:
            local.append(place.local)
            continue
        with stores.files(place).snapshot() as names, suppress(FileError):
            for each in expanded(names, place):
                usage = names.usage(names.resolve(each.path).path)
                size += usage.bytes
                entries += usage.files + usage.directories
    if not local:
        watch.total_bytes, watch.total_entries = size, entries
        return

    def count() -> None:
        found, total = entries, size
        for top in local:
            with suppress(OSError):
                state = os.stat(top)
                found += 1
                total += state.st_size if stat.S_ISREG(state.st_mode) else 0
            for _, directories, files, descriptor in os.fwalk(top):
                found += len(directories) + len(files)
                for name in files:
                    with suppress(OSError):
                        state = os.lstat(name, dir_fd=descriptor)
                        total += state.st_size if stat.S_ISREG(state.st_mode) else 0
        watch.total_bytes, watch.total_entries = total, found

    threading.Thread(target=count, name="pagelake-count", daemon=True).start()
