"""The children of a striped device that this process uses, and how it comes to do without some.

A child that cannot be written to is left out by a new epoch (``membership``) before anything is
acknowledged without it. Failed reads leave nobody out: another copy answers, and a scrub repairs.
"""

from __future__ import annotations

import contextlib
import errno
import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ....errors import Denied, NotAStore, OutcomeUnknown, StorageFull, Unavailable
from ...environment import CallerExecutor
from .membership import (
    DEVICE_FILE,
    Membership,
    encode_epoch,
    epoch_name,
    identify_child,
    known_epochs,
    link_epoch,
    newest_epoch,
    open_child,
    perhaps_outdated,
    read_epoch,
    too_many_lost,
)
from .peers import find_peers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ..device import Device
    from .membership import DeviceSet

UNREADABLE = (OSError, EOFError, Unavailable, Denied)
"""What a read raises that fails: the same may be read elsewhere."""
# Shortages of this process, which say nothing about a child.
_OWN_SHORTAGES = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}

_T = TypeVar("_T")


class Members:
    """The children by index, and the epoch that says which of them count.

    Args:
        devices: The set.
        children: The children that are there, by index.
        paths: Where they lie, by index; empty for children that are no directories.
        read_only: Change nothing, not even to complete what others left half-way.
        threads: False makes all calls one after another, in the caller's thread.
        accept_loss: Go on although those that are missing may have gone on without these.

    Attributes:
        membership: The newest epoch that this process knows.
        changed: Called when others are in use than before.

    Raises:
        Unavailable: More children are missing than the parity covers, or those that are there
            cannot know whether the others went on without them.
    """

    def __init__(
        self,
        devices: DeviceSet,
        children: Mapping[int, Device],
        paths: Mapping[int, Path],
        *,
        read_only: bool = False,
        threads: bool = True,
        accept_loss: bool = False,
    ) -> None:
        self.devices = devices
        self.paths = dict(paths)
        self.read_only = read_only
        self.lock = threading.RLock()
        self.changed: Callable[[], None] = _do_nothing
        self._children = dict(children)
        self._strangers: set[int] = set()
        membership = newest_epoch(self._children, devices)
        if membership is None:
            raise Unavailable("no device knows which of them make up the store")
        self.membership = membership
        self._absent: set[int] = set(membership.order) - set(self._children)
        live = self.live()
        if not accept_loss and len(live) <= devices.parity and self._absent:
            raise perhaps_outdated(devices, len(live))
        self._pool: Executor = (
            ThreadPoolExecutor(devices.children, thread_name_prefix="pagelake-device")
            if threads
            else CallerExecutor()
        )
        if not read_only:
            self._complete_epoch()

    def __getitem__(self, index: int) -> Device:
        return self._children[index]

    def __contains__(self, index: int) -> bool:
        return index in self._children

    def live(self) -> list[int]:
        """Indexes of the children in use, the one that decides first.

        Raises:
            Unavailable: They are too few.
        """
        live = [index for index in self.membership.order if index not in self._absent]
        if len(live) < self.devices.data:
            raise too_many_lost(self.devices, self.devices.children - len(live))
        return live

    def first(self) -> Device:
        """The child that decides."""
        return self._children[self.live()[0]]

    def in_use(self, index: int) -> bool:
        """True of a child that counts and has not failed."""
        return index in self.membership.order and index not in self._absent

    def is_there(self, index: int) -> bool:
        """True when a child can be read as one."""
        return self.has(index, DEVICE_FILE)

    def has(self, index: int, name: str) -> bool:
        """True when a child has a file, as far as that can be read."""
        try:
            return self._children[index].exists(name)
        except UNREADABLE:
            return False

    def lose(self, index: int) -> None:
        """Do without a child from here on; ``declare`` says so to everybody.

        Raises:
            Unavailable: The others are too few.
        """
        with self.lock:
            live = self.live()
            if index not in live:
                return
            if len(live) == self.devices.data:
                # It stays in use: without it there is no store, and it may only have a bad moment.
                raise too_many_lost(self.devices, self.devices.children - len(live) + 1)
            self._absent.add(index)
            self.changed()

    def look(self) -> None:
        """Notice children that were taken away, which otherwise the next change does."""
        self.refresh()
        for index in self.live():
            if not self.is_there(index):
                self.lose(index)

    # Changes

    def attempt_each(
        self, indexes: Sequence[int], change: Callable[[int, Device], _T]
    ) -> dict[int, _T]:
        """Let children change something at the same time; those that failed are not in the answer.

        Most of the time of a sync is spent waiting, and each child may be a disk of its own.
        """
        calls = {
            index: self._submit(partial(self.attempt, index, partial(change, index)))
            for index in indexes
        }
        wait(calls.values())
        results = {index: call.result() for index, call in calls.items()}
        return {index: result for index, result in results.items() if result is not None}

    def _submit(self, call: Callable[[], _T]) -> Future[_T]:
        try:
            return self._pool.submit(call)
        except RuntimeError:  # closed by another thread: what is under way comes to its end
            return CallerExecutor().submit(call)

    def attempt(self, index: int, change: Callable[[Device], _T]) -> _T | None:
        """Let a child change something; None when it failed and is left out from here on.

        Raises:
            StorageFull: It has no room.
        """
        try:
            return change(self._children[index])
        except (StorageFull, FileExistsError):
            raise
        except (OSError, Unavailable, OutcomeUnknown, Denied) as error:
            cause = error if isinstance(error, OSError) else error.__cause__
            if isinstance(cause, OSError) and cause.errno in _OWN_SHORTAGES:
                raise
            self.lose(index)
            return None

    # Epochs

    def refresh(self) -> None:
        """Learn of epochs that other processes have begun."""
        # One child more than may be lost: whatever the next epoch leaves out, one of them has it.
        following = epoch_name(self.membership.epoch + 1)
        answers = 0
        for index in [i for i in self.membership.order if i not in self._absent]:
            try:
                begun = self._children[index].exists(following)
            except UNREADABLE:
                continue
            if begun:
                with self.lock:
                    self._adopt_epoch()
                return
            answers += 1
            if answers > self.devices.parity:
                return

    def _adopt_epoch(self) -> None:
        newest = newest_epoch(self._children, self.devices)
        if newest is None or newest.epoch <= self.membership.epoch:
            return
        joined = [i for i in newest.order if self._was_out(i, newest.epoch)]
        self.membership = newest
        self._absent &= set(newest.order)
        for index in joined:
            self._join(index)
        self.live()
        if not self.read_only:
            self._complete_epoch()
        self.changed()

    def _was_out(self, index: int, newest: int) -> bool:
        """True when an epoch since the last known one went without a child."""
        if index not in self.membership.order:
            return True
        missed = (
            read_epoch(child, self.devices, epoch)
            for epoch in range(self.membership.epoch + 1, newest)
            for child in self._children.values()
        )
        return any(one is not None and index not in one.order for one in missed)

    def _join(self, index: int) -> None:
        """Use a child that another process has rebuilt."""
        for path in self._places(index):
            # What is open may be the directory that was there before.
            with contextlib.suppress(NotAStore, Unavailable):
                child = open_child(self.devices, path, create=False)
                if identify_child(child) == (self.devices, index) and self._is_current(child):
                    self._use(index, child, path)
                    return
                child.close()
        if not self.paths and index in self._children and self.is_there(index):
            self._absent.discard(index)
            return
        # It lies elsewhere. To leave it out again would undo the work of others.
        self._absent.add(index)
        self._strangers.add(index)

    def _places(self, index: int) -> list[Path]:
        """Directories in which a child may lie: where it was, and where the others say it is."""
        known = [self.paths[index]] if index in self.paths else []
        for other, path in list(self.paths.items()):
            if other != index and self.in_use(other):
                known += find_peers(self._children[other], path, self.devices).get(index, ())
        return list(dict.fromkeys(known))

    def place(self, index: int) -> Path | None:
        """Where a child lies or was last, as far as anybody knows."""
        return next(iter(self._places(index)), None)

    def _is_current(self, child: Device) -> bool:
        """True unless a directory is one that a rebuilt child has taken the place of.

        A rebuilt child has all epochs before the one that it joins with, the other one lacks
        the epoch that left it out.
        """
        newest = self.membership.epoch
        return any(read_epoch(child, self.devices, e) for e in (newest, newest - 1))

    def _use(self, index: int, child: Device, path: Path | None) -> None:
        if index in self._children and self._children[index] is not child:
            self._children[index].close()
        self._children[index] = child
        if path is not None:
            self.paths[index] = path
        self._absent.discard(index)
        self._strangers.discard(index)

    def _complete_epoch(self) -> None:
        """Put the epoch on all its children: its author may have died half-way."""
        for index in self.live():
            self._link(index, self.membership)

    def _link(self, index: int, membership: Membership) -> bool | None:
        child = {index: self._children[index]}
        return self.attempt(index, lambda _: link_epoch(child, self.devices, membership))

    def declare(self) -> None:
        """Make it known to everybody which children are out, before anything depends on it.

        Raises:
            Unavailable: The children that are left are too few, or contradict each other.
        """
        with self.lock:
            while out := self._absent & set(self.membership.order):
                for index in self._strangers & out:
                    self._join(index)  # it may be found by now
                if self._strangers & self._absent:
                    raise Unavailable(
                        "a device of the store was replaced by another directory",
                        hint="connect again, naming the new directory",
                    )
                order = tuple(i for i in self.membership.order if i not in self._absent)
                if order == self.membership.order:
                    return
                self._begin_epoch(order)

    def _begin_epoch(self, order: tuple[int, ...]) -> None:
        """Begin the next epoch with these children, unless another process begins one."""
        following = Membership(self.membership.epoch + 1, order)
        for index in order:
            if self._link(index, following) is False:
                # Two processes begin different ones. They meet on the first child that both
                # name; who is first there has it on all further ones, and the other joins in.
                self._adopt_epoch()
                if self.membership.epoch < following.epoch:
                    raise Unavailable("two processes disagree on which devices of the store live")
                return
        self.membership = following
        self.changed()

    def join(self, index: int, child: Device, path: Path | None) -> None:
        """Use a replacement that holds all that the lost child did, from the next epoch on."""
        with self.lock:
            # Whoever was away meanwhile finds on it what happened, as on every other child.
            for one in known_epochs(self._children, self.devices):
                staged = child.stage(encode_epoch(self.devices, one))
                try:
                    staged.link(epoch_name(one.epoch))
                finally:
                    staged.discard()
            self._use(index, child, path)
            while index not in self.membership.order:
                self.declare()
                self._begin_epoch((*self.membership.order, index))

    def close(self) -> None:
        """Release the children."""
        self._pool.shutdown()
        for child in self._children.values():
            child.close()


def _do_nothing() -> None:
    """Nobody wants to know."""
