"""``pagelake.devices``: the directories that the store lies on, and how they are."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from ...errors import Unavailable
from ...storage.devices.local_device import FOLDERS
from ...storage.devices.scrub import status
from ...storage.devices.scrub_record import scrub_record
from ...storage.devices.striped_device import StripedDevice
from .computed import Computed

if TYPE_CHECKING:
    from ...sql.provider import ScanRequest
    from ...storage.devices.device import Device

_FOLDERS = (*FOLDERS, "devices")
_ROOT_FILES = ("store.json", "device.json")
_MEASURED = frozenset({"files", "bytes"})


class Devices(Computed):
    """One row a directory; none for a store in memory."""

    name: ClassVar[str] = "devices"
    schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("device", pa.int64()),
            ("directory", pa.string()),
            ("state", pa.string()),
            ("decides", pa.bool_()),
            ("epoch", pa.int64()),
            ("files", pa.int64()),
            ("bytes", pa.int64()),
            ("errors_found", pa.int64()),
            ("errors_repaired", pa.int64()),
            ("scrubbed_upto", pa.string()),
            ("last_scrub", pa.timestamp("us", "UTC")),
        ]
    )

    def estimated_rows(self) -> int:
        """About how many rows it has."""
        device = self._context.store.device
        return device.devices.children if isinstance(device, StripedDevice) else 1

    def columns(self, request: ScanRequest) -> dict[str, list[object]]:
        """The rows, column by column."""
        wanted = self.schema.names if request.columns is None else request.columns
        rows = device_rows(self._context.store.device, measure=bool(_MEASURED & set(wanted)))
        return {name: [row[name] for row in rows] for name in self.schema.names}


def device_rows(device: Device, *, measure: bool = True) -> list[dict[str, object]]:
    """Rows of ``pagelake.devices``.

    Args:
        device: The store's device.
        measure: False leaves out how much lies on each, which looks at every file.
    """
    if not isinstance(device, StripedDevice):
        root = device.local_path("")
        if root is None:
            return []
        row: dict[str, object] = dict.fromkeys(Devices.schema.names)
        row |= {"device": 0, "directory": str(root), "state": "live", "decides": True}
        return [row | (_measured(device) if measure else {})]
    record = scrub_record(device)
    finished = record.finished_us
    rows: list[dict[str, object]] = []
    for child in status(device):
        there = child.state != "missing"
        measured = _measured(device.members[child.index]) if measure and there else {}
        rows.append(
            {
                "device": child.index,
                "directory": None if child.path is None else str(child.path),
                "state": child.state,
                "decides": child.decides,
                "epoch": device.members.membership.epoch,
                "files": measured.get("files"),
                "bytes": measured.get("bytes"),
                "errors_found": record.found.get(child.index, 0),
                "errors_repaired": record.repaired.get(child.index, 0),
                "scrubbed_upto": record.after or None,
                "last_scrub": datetime.fromtimestamp(finished / 1e6, UTC) if finished else None,
            }
        )
    return rows


def _measured(child: Device) -> dict[str, object]:
    """How many files lie on a device, and how many bytes they have."""
    names = list(_ROOT_FILES)
    for folder in _FOLDERS:
        with suppress(OSError, Unavailable):
            names += [f"{folder}/{name}" for name in child.list(folder)]
    sizes = []
    for name in set(names) - set(_FOLDERS):
        with suppress(OSError, Unavailable):
            sizes.append(child.size(name))
    return {"files": len(sizes), "bytes": sum(sizes)}
