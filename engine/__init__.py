"""Database, session, executor, kernel and the doors: what composes the layers below."""
