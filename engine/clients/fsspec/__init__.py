"""The fsspec file system over the files of a store: `fsspec.filesystem("pagelake", store=…)`.

fsspec finds it by the entry point of the protocol `pagelake`; what it needs is the extra `fsspec`.
"""

from .filesystem import PagelakeFileSystem

__all__ = ["PagelakeFileSystem"]
