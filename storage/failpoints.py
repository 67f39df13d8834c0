"""Failpoints: named places where a test may stop, kill or fail a run.

In production reaching one does nothing. Each name is reached by some test, or the build fails.
"""

from __future__ import annotations

from enum import StrEnum


class Failpoint(StrEnum):
    """A place between two steps of a protocol."""

    PAGES_SYNCED = "pages synced"
    COMMIT_OFFERED = "commit offered"
    COMMIT_STAGED = "commit staged"
    COMMIT_LINKED = "commit linked"
    COMMIT_SYNCED = "commit synced"
    CHECKPOINT_STAGED = "checkpoint staged"
    CHECKPOINT_LINKED = "checkpoint linked"
    FOLD_BUNDLED = "fold bundled"
    FOLD_BOUNDARY_RAISED = "fold boundary raised"
    FOLD_RECORD_DROPPED = "fold record dropped"
    RECLAIM_ANCHORED = "reclaim anchored"
    RECLAIM_HORIZON_RAISED = "reclaim horizon raised"
    RECLAIM_SEGMENT_DROPPED = "reclaim segment dropped"
    RECLAIM_SEGMENT_PUNCHED = "reclaim segment punched"
