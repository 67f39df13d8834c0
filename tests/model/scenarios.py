"""Scenarios of the model: who does what, which guards each needs, and what goes wrong without.

Every guard of the protocol is named in some scenario: left out there, the search must find a
violation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.model.world import APPEND, INLINE, Transaction, World

FIRST = frozenset({0})
REPLACE = Transaction(removes=FIRST)
"""A rewrite or an update: it replaces what version 1 holds."""
CHANGE = Transaction(appends=False, removes=FIRST)
"""A delete: like a rewrite, but without pages of its own."""
CREATE = Transaction(appends=False, adds=frozenset({7}))
"""A new row of a key that nobody else may append."""
CREATE_WITHIN = Transaction(appends=False, relies=frozenset({1}))
REMOVE = Transaction(appends=False, takes=frozenset({1}), alone=True)
"""A new row in a directory, and the end of that directory, which nobody else commits."""
CLONE = Transaction(appends=False, clones=1)
TAG = Transaction(appends=False, tags=1)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A world, and the guards without which it breaks.

    Attributes:
        world: What happens.
        guards: What must not be left out.
    """

    world: World
    guards: tuple[str, ...]


def _world(*writers: tuple[Transaction, ...], **others: object) -> World:
    transactions = [APPEND]
    numbers = []
    for writer in writers:
        first = len(transactions)
        transactions.extend(writer)
        numbers.append(tuple(range(first, len(transactions))))
    return World(tuple(transactions), tuple(numbers), **others)  # type: ignore[arg-type]


SCENARIOS: dict[str, Scenario] = {
    "three writers lose power": Scenario(
        _world((APPEND,), (APPEND,), (APPEND,), failures=1),
        (
            "pages are synced before the record",
            "the log is synced before the answer",
            "a name is taken once",
        ),
    ),
    "writers that stall while others fold": Scenario(
        _world((INLINE,), (INLINE,), reclaimers=(("fold",),), readers=1),
        (
            "a loose record at the boundary is not believed",
            "the boundary is looked at after the link",
            "the boundary is raised before names are freed",
            "a folded record may be one's own",
        ),
    ),
    "folding loses power": Scenario(
        _world((INLINE,), reclaimers=(("fold",),), failures=1, kills=1),
        (
            "a bundle is durable before the boundary",
            "the boundary is durable before names are freed",
        ),
    ),
    "a reader while power fails": Scenario(
        _world((INLINE,), readers=1, failures=1),
        ("a reader syncs what it shows",),
    ),
    "a reader while another reclaims": Scenario(
        _world((REPLACE,), reclaimers=(("reclaim",),), readers=1, kills=1),
        (
            "a reader pins what it reads",
            "a reader looks at the horizon after it pinned",
            "pins are read after the horizon was raised",
            "what pins keep is not freed",
            "the horizon is raised before anything is freed",
        ),
    ),
    "reclaim loses power": Scenario(
        _world((REPLACE,), reclaimers=(("fold", "reclaim"),), failures=1),
        (
            "the horizon is durable before anything is freed",
            "a checkpoint is durable before the horizon",
        ),
    ),
    "segments that are being written": Scenario(
        _world((APPEND,), (APPEND,), reclaimers=(("reclaim",),), kills=1),
        (
            "a segment is held before it exists",
            "held segments are not freed",
            "what is committed is listed before the newest is looked up",
            "the newest version is looked up after the pins",
        ),
    ),
    "a clone of an old version": Scenario(
        _world((REPLACE, INLINE), (CLONE,), reclaimers=(("fold", "reclaim"),)),
        (
            "a version that is named is pinned",
            "a version that a late record names is anchored",
            "anchors of named versions stay",
        ),
    ),
    "a tag on an old version": Scenario(
        _world((REPLACE, INLINE), (TAG,), reclaimers=(("fold", "reclaim"),)),
        (
            "a version that is named is pinned",
            "a version that a late record names is anchored",
            "what tags and clones need is marked",
            "anchors of named versions stay",
        ),
    ),
    "several lead at once": Scenario(
        _world((INLINE,), (CHANGE,), combine=True, kills=1),
        (
            "a transaction is looked for in the log",
            "a record holds a transaction once",
        ),
    ),
    "offers that do not commute": Scenario(
        _world((CHANGE,), (CHANGE,), (INLINE,), combine=True),
        ("only the committed refuse",),
    ),
    "two create the same": Scenario(
        _world((CREATE,), (CREATE,), combine=True, stale=True, kills=1),
        (
            "a commit is checked against what came since",
            "what is in one record commutes",
            "all are checked anew after a lost race",
        ),
    ),
    "two create the same beside others": Scenario(
        _world((CREATE,), (CREATE,), (INLINE,), combine=True),
        (
            "an offer is checked against what came since",
            "what is in one record commutes",
            "only the committed refuse",
        ),
    ),
    "a directory that is removed": Scenario(
        _world((CREATE_WITHIN,), (REMOVE,), combine=True, stale=True, kills=1),
        (
            "a commit is checked against what came since",
            "all are checked anew after a lost race",
            "a record tells what it relies on",
        ),
    ),
    "a directory that is removed beside others": Scenario(
        _world((CREATE_WITHIN,), (REMOVE,), (INLINE,), combine=True),
        (
            "an offer is checked against what came since",
            "a record tells what it relies on",
        ),
    ),
    "an offerer loses patience": Scenario(
        _world((INLINE,), (INLINE,), combine=True, withdraw=True),
        ("who takes an offer back does not know the outcome",),
    ),
    "a leader loses power": Scenario(
        _world((INLINE,), (INLINE,), combine=True, failures=1),
        ("who finds itself syncs as well", "the log is synced before the answer"),
    ),
    "an offerer dies while another reclaims": Scenario(
        _world((INLINE,), (APPEND,), reclaimers=(("reclaim",),), combine=True, kills=1),
        (
            "a leader holds what it commits",
            "a leader sees that owners live once it holds what they wrote",
        ),
    ),
    "a leader that opened late": Scenario(
        _world(
            (INLINE,),
            (INLINE, INLINE),
            reclaimers=(("fold",),),
            versions=3,
            combine=True,
            kills=1,
        ),
        ("what was not looked at is unknown",),
    ),
    "an offerer that slept, and could not pin": Scenario(
        replace(
            _world(
                (INLINE,),
                (INLINE, INLINE),
                reclaimers=(("fold", "reclaim"),),
                versions=3,
                combine=True,
            ),
            without=frozenset({"what pins keep is not freed"}),
        ),
        ("unknown is no refusal",),
    ),
}

LARGE: dict[str, World] = {
    "three writers, one reclaimer, two crashes": _world(
        (APPEND,), (APPEND,), (APPEND,), reclaimers=(("fold", "reclaim"),), kills=1, failures=1
    ),
    "three leaders, one reclaimer, one kill": _world(
        (INLINE,), (INLINE,), (CHANGE,), reclaimers=(("fold",),), combine=True, kills=1
    ),
}
"""Worlds for the command only: millions of states."""

QUICK = (
    "three writers lose power",
    "folding loses power",
    "a reader while power fails",
    "a reader while another reclaims",
    "reclaim loses power",
    "segments that are being written",
    "several lead at once",
    "two create the same",
    "a directory that is removed",
    "an offerer loses patience",
    "a leader loses power",
)
"""Scenarios of at most some ten thousand states, which the tests search too."""
