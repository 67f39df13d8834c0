"""The SQLAlchemy dialect `pagelake`: `create_engine("pagelake:///path/to/store")`."""

from .dialect import PagelakeDialect

__all__ = ["PagelakeDialect"]
