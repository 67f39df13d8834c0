"""Doors for other programs' plug-in systems: SQLAlchemy and Harlequin.

Nothing else imports these packages: the plug-in systems load them by their entry points, so that
`import pagelake` costs the same with and without them.
"""
