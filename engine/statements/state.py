"""Statements about the session or the whole database, which write no row of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import Unsupported
from ...sql import statement as st
from ..files.clone import create_directory
from ..native import copy_database, export
from . import attached, call, describe, options, prepared
from .change import Change

if TYPE_CHECKING:
    from ..result import Result
    from ..session import Session


def run(session: Session, statement: st.Statement) -> Result:
    """Run a statement that neither reads nor writes rows of stored tables.

    Raises:
        Unsupported: Pagelake does not have it.
    """
    match statement:
        case st.Show() | st.Describe():
            return describe.describe(session, statement)
        case st.SetOption():
            return options.set_option(session, statement)
        case st.Pragma():
            return options.pragma(session, statement)
        case st.Use():
            return attached.use(session, statement)
        case st.Attach():
            return attached.attach(session, statement)
        case st.ExportDatabase() | st.ImportDatabase():
            return export.run(session, statement)
        case st.CopyDatabase():
            return copy_database.run(session, statement)
        case st.Prepare():
            return prepared.prepare(session, statement)
        case st.Deallocate():
            return prepared.deallocate(session, statement)
        case st.Call():
            return call.call(session, statement)
        case st.CreateDirectory():
            return session.writing(
                "CREATE DIRECTORY", lambda t: create_directory(Change(session, t), statement)
            )
        case st.Other():
            raise Unsupported(f"{statement.verb} is not supported", construct=statement.verb)
    raise Unsupported(f"{type(statement).__name__} is not supported")
