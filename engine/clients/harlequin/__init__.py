"""The Harlequin adapter `pagelake`: `harlequin -a pagelake path/to/store`."""

from .adapter import PagelakeAdapter

__all__ = ["PagelakeAdapter"]
