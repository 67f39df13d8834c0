"""A process that is killed leaves whole operations, and all that it was told were done."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from pagelake.storage.devices.local_device import LocalDevice
from pagelake.storage.files.files import Files
from pagelake.storage.store import Store

if TYPE_CHECKING:
    from pathlib import Path

THREADS = 4
TOLD = 12

PROGRAM = f"""
import sys, threading
from pathlib import Path
from pagelake.storage.devices.local_device import LocalDevice
from pagelake.storage.files.files import Files
from pagelake.storage.files.operations import Create, MakeDirectory
from pagelake.storage.files.renaming import Rename
from pagelake.storage.store import Store

files = Files(Store(LocalDevice(Path(sys.argv[1]), create=True)))

def work(writer):
    number = 0
    while True:
        body = files.content.inline(f"{{writer}} {{number}}".encode())
        new, old = f"/{{writer}}_{{number}}", f"/{{writer}}_{{number}}.new"
        files.run(MakeDirectory(old), Create(old + "/a", body))
        files.run(Create(old + "/b", body), Rename(old, new))
        sys.stdout.write(new + "\\n")
        sys.stdout.flush()
        number += 1

for writer in range({THREADS}):
    threading.Thread(target=work, args=(writer,)).start()
"""


def test_a_killed_process_leaves_whole_operations(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "store")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    told = [process.stdout.readline().strip() for _ in range(TOLD)]
    process.send_signal(signal.SIGKILL)
    told += process.stdout.read().split("\n")[:-1]
    process.wait()
    process.stdout.close()
    store = Store(LocalDevice(tmp_path / "store", create=False))
    files = Files(store)
    with files.snapshot() as snapshot:
        whole = set()
        for directory in snapshot.children(1):
            below = [
                (e.name, snapshot.read(e).read_at(0, 9))
                for e in snapshot.children(directory.handle)
            ]
            finished = not directory.name.endswith(".new")
            writer, number = directory.name.removesuffix(".new").split("_")
            body = f"{writer} {number}".encode()
            assert below == [("a", body), ("b", body)][: 2 if finished else 1]
            if finished:
                whole.add(directory.path)
    files.close()
    store.close()
    assert set(told) <= whole
    assert len(whole) <= len(told) + THREADS
