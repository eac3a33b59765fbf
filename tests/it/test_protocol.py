"""The protocol of common/FORMAT.md section 7, explored against a model.

Backups, expiries and verifications are state machines whose steps are single
requests to a store.  Every order of their steps is tried, with a crash after
any of them and time passing in between, and after every step all that a backup
which counts refers to must be there.  A verification may name only packs that
are really lost, and must name those that it could have seen.  Nothing here runs
walship: it shows that the protocol holds, and that each of its guards is needed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeVar

import pytest

MAX_AGE = 2  # M, in ticks
TICKS = 3

Pack = tuple[str, int]
Tuple = TypeVar("Tuple", bound=Any)


def replace(old: Tuple, **changes: Any) -> Tuple:
    """Tuples, not dataclasses: their hashes are computed in half the time."""
    new: Tuple = old._replace(**changes)
    return new

NONE: frozenset[str] = frozenset()


class Manifest(NamedTuple):
    backup: str
    packs: frozenset[Pack]


class Start(NamedTuple):
    backup: str
    bases: frozenset[str]
    time: int


class Store(NamedTuple):
    now: int
    starts: frozenset[Start]
    manifests: frozenset[Manifest]
    expired: frozenset[str]
    packs: frozenset[Pack]
    erased: frozenset[Pack] = frozenset()  # by an accident

    def counts(self, manifest: Manifest) -> bool:
        return manifest.backup not in self.expired

    def manifest(self, backup: str) -> Manifest | None:
        return next((m for m in self.manifests if m.backup == backup), None)

    def finished(self, backup: str) -> bool:
        return self.manifest(backup) is not None

    def live_starts(self) -> list[Start]:
        return [
            start
            for start in self.starts
            if self.now - start.time < MAX_AGE
            and not self.finished(start.backup)
            and start.backup not in self.expired
        ]

    def counting(self) -> list[Manifest]:
        return [m for m in self.manifests if self.counts(m)]

    def lost(self) -> list[Manifest]:
        """Backups that count and cannot be restored, by nobody's accident.

        One that began with what an accident took is not to be published.
        """
        return [
            m
            for m in self.counting()
            if not m.packs <= self.packs
            and (m.backup in ("x", "y") or not m.packs <= self.packs | self.erased)
        ]


class Rules(NamedTuple):
    """The guards; a test that drops one must find a backup that is lost."""

    lists_base: bool = True  # the backup, after its start
    sees_base_gone: bool = True  # likewise: expired and deleted altogether
    proves_packs: bool = True  # the backup, before its manifest
    checks_age: bool = True  # the backup, likewise
    keeps_for_starts: bool = True  # the expiry
    keeps_for_manifests: bool = True
    keeps_base_manifests: bool = True  # for those that live starts name
    lists_after_mark: bool = True
    looks_again: bool = True  # the verification, before it names a pack


# --- a backup ---------------------------------------------------------------------


class Backup(NamedTuple):
    name: str
    own_packs: int
    step: str = "choose"
    bases: frozenset[str] = NONE
    refers: frozenset[Pack] = frozenset()
    put_at: int = 0
    checked_at: int = 0

    def own(self) -> frozenset[Pack]:
        return frozenset((self.name, n) for n in range(self.own_packs))

    def ended(self) -> bool:
        return self.step == "end"

    def may_wait(self, store: Store) -> bool:
        """M/2 is more than the last steps take: what the protocol asks for."""
        if self.step in ("prove", "publish"):
            return store.now - self.checked_at + 1 < MAX_AGE / 2
        return True

    def steps(self, store: Store, rules: Rules) -> Iterator[tuple[Backup, Store]]:
        yield from getattr(self, f"_{self.step}")(store, rules)

    def _choose(self, store: Store, _: Rules) -> Iterator[tuple[Backup, Store]]:
        none: tuple[str | None, frozenset[Pack]] = (None, frozenset())
        chosen = [none]
        chosen += [(m.backup, m.packs) for m in store.manifests if store.counts(m)]
        unfinished = [none]
        for start in store.starts:
            # One that died, or still runs: its packs may be of use.
            if not store.finished(start.backup) and start.backup != self.name:
                packs = frozenset(p for p in store.packs if p[0] == start.backup)
                unfinished.append((start.backup, packs))
        for base, packs in chosen:
            for dead, stored in unfinished:
                bases = frozenset(name for name in (base, dead) if name is not None)
                made = replace(self, bases=bases, refers=packs | stored)
                yield replace(made, step="start"), store

    def _start(self, store: Store, rules: Rules) -> Iterator[tuple[Backup, Store]]:
        put = replace(
            store, starts=store.starts | {Start(self.name, self.bases, store.now)}
        )
        following = "look" if self.bases and rules.lists_base else "pack"
        yield replace(self, step=following, put_at=store.now), put

    def _look(self, store: Store, rules: Rules) -> Iterator[tuple[Backup, Store]]:
        known = {start.backup for start in store.starts}
        gone = rules.sees_base_gone and not self.bases <= known
        if self.bases & store.expired or gone:
            # It would begin again; here that is another backup.
            marked = replace(store, expired=store.expired | {self.name})
            yield replace(self, step="end"), marked
        else:
            yield replace(self, step="pack"), store

    def _pack(self, store: Store, _: Rules) -> Iterator[tuple[Backup, Store]]:
        put = replace(store, packs=store.packs | self.own())
        yield replace(self, step="age"), put

    def _age(self, store: Store, rules: Rules) -> Iterator[tuple[Backup, Store]]:
        if rules.checks_age and store.now - self.put_at > MAX_AGE / 2:
            yield replace(self, step="end"), store
        else:
            yield replace(self, step="prove", checked_at=store.now), store

    def _prove(self, store: Store, rules: Rules) -> Iterator[tuple[Backup, Store]]:
        there = self.refers | self.own() <= store.packs or not rules.proves_packs
        yield replace(self, step="publish" if there else "end"), store

    def _publish(self, store: Store, _: Rules) -> Iterator[tuple[Backup, Store]]:
        manifest = Manifest(self.name, self.refers | self.own())
        put = replace(store, manifests=store.manifests | {manifest})
        yield replace(self, step="end"), put


# --- an expiry --------------------------------------------------------------------


class Expiry(NamedTuple):
    step: str = "choose"
    victims: tuple[str, ...] = ()
    read: frozenset[Manifest] = frozenset()
    doomed: tuple[Pack, ...] = ()
    emptied: tuple[str, ...] = ()

    def ended(self) -> bool:
        return self.step == "end"

    def may_wait(self, _: Store) -> bool:
        return True

    def steps(self, store: Store, rules: Rules) -> Iterator[tuple[Expiry, Store]]:
        yield from getattr(self, f"_{self.step}")(store, rules)

    def _choose(self, store: Store, rules: Rules) -> Iterator[tuple[Expiry, Store]]:
        dead = [
            start.backup
            for start in store.starts
            if store.now - start.time > MAX_AGE
            and not store.finished(start.backup)
            and start.backup not in store.expired
        ]
        alive = sorted(m.backup for m in store.manifests if store.counts(m))
        for chosen in (*([one] for one in alive), alive):
            victims = tuple(sorted(dead + chosen))
            found = replace(self, step="mark", victims=victims, read=store.manifests)
            if not rules.lists_after_mark:
                found = found._listed(store, rules, set(victims))
                found = replace(found, step="mark", victims=victims)
            yield found, store

    def _mark(self, store: Store, rules: Rules) -> Iterator[tuple[Expiry, Store]]:
        if self.victims:
            marked = replace(store, expired=store.expired | {self.victims[0]})
            yield replace(self, victims=self.victims[1:]), marked
        elif rules.lists_after_mark:
            yield self._listed(store, rules, set()), store
        else:
            yield replace(self, step="delete"), store

    def _listed(self, store: Store, rules: Rules, also: set[str]) -> Expiry:
        expired = store.expired | also
        keep = {pack for pack in store.packs if pack[0] not in expired}
        if rules.keeps_for_manifests:
            for manifest in store.manifests:
                if manifest.backup not in expired:
                    keep |= manifest.packs
        if rules.keeps_for_starts:
            for start in store.live_starts():
                owners = {start.backup, *start.bases}
                keep |= {p for p in store.packs if p[0] in owners}
                for name in start.bases:
                    base = store.manifest(name)
                    keep |= base.packs if base else set()
        doomed = store.packs - keep
        needed: set[str] = set()
        if rules.keeps_base_manifests:
            needed = needed.union(*(s.bases for s in store.live_starts()))
        owners = {pack[0] for pack in store.packs - doomed}
        emptied = sorted(store.expired - owners - needed)
        return replace(
            self,
            step="delete",
            doomed=tuple(sorted(doomed)),
            emptied=tuple(emptied),
        )

    def _delete(self, store: Store, _: Rules) -> Iterator[tuple[Expiry, Store]]:
        if self.doomed:
            gone = replace(store, packs=store.packs - {self.doomed[0]})
            yield replace(self, doomed=self.doomed[1:]), gone
        elif self.emptied:
            name = self.emptied[0]
            manifests = frozenset(m for m in store.manifests if m.backup != name)
            gone = replace(store, manifests=manifests)
            yield replace(self, step="unmark"), gone
        else:
            yield replace(self, step="end"), store

    def _unmark(self, store: Store, _: Rules) -> Iterator[tuple[Expiry, Store]]:
        """The start, then the mark."""
        name = self.emptied[0]
        starts = frozenset(s for s in store.starts if s.backup != name)
        gone = replace(store, starts=starts)
        if starts == store.starts:
            gone = replace(store, expired=store.expired - {name})
            yield replace(self, step="delete", emptied=self.emptied[1:]), gone
        else:
            yield self, gone


# --- a verification, an accident --------------------------------------------------


class Verification(NamedTuple):
    """Reads what there is, manifest by manifest, then lists the packs."""

    step: str = "begin"
    unread: tuple[str, ...] = ()
    needed: frozenset[Pack] = frozenset()
    missing: frozenset[Pack] = frozenset()
    visible: frozenset[tuple[str, Pack]] = frozenset()  # lost when it began

    def ended(self) -> bool:
        return self.step in ("end", "wrong")

    def may_wait(self, _: Store) -> bool:
        return True

    def steps(
        self, store: Store, rules: Rules
    ) -> Iterator[tuple[Verification, Store]]:
        yield getattr(self, f"_{self.step}")(store, rules), store

    def _listed(self, store: Store, step: str) -> Verification:
        unread = tuple(sorted(m.backup for m in store.counting()))
        return replace(self, step=step, unread=unread, needed=frozenset())

    def _begin(self, store: Store, _: Rules) -> Verification:
        lost = ((m.backup, p) for m in store.counting() for p in m.packs - store.packs)
        return replace(self._listed(store, "read"), visible=frozenset(lost))

    def _read(self, store: Store, _: Rules) -> Verification:
        """One manifest; none if it was deleted meanwhile."""
        if not self.unread:
            following = "packs" if self.step == "read" else "tell"
            return replace(self, step=following)
        manifest = store.manifest(self.unread[0])
        packs = manifest.packs if manifest else frozenset()
        return replace(self, unread=self.unread[1:], needed=self.needed | packs)

    def _read_again(self, store: Store, rules: Rules) -> Verification:
        return self._read(store, rules)

    def _packs(self, store: Store, rules: Rules) -> Verification:
        missing = self.needed - store.packs
        following = "again" if missing and rules.looks_again else "tell"
        return replace(self, step=following, missing=missing)

    def _again(self, store: Store, _: Rules) -> Verification:
        return self._listed(store, "read_again")

    def _tell(self, store: Store, _: Rules) -> Verification:
        told = self.missing & self.needed
        alive = {manifest.backup for manifest in store.counting()}
        seen = all(pack in told for name, pack in self.visible if name in alive)
        return Verification("end" if seen and told <= store.erased else "wrong")


class Accident(NamedTuple):
    """Somebody deletes a pack, before the backup looks for it in the end."""

    step: str = "wait"

    def ended(self) -> bool:
        return self.step == "end"

    def may_wait(self, _: Store) -> bool:
        return True

    def steps(self, store: Store, _: Rules) -> Iterator[tuple[Accident, Store]]:
        late = any(pack[0] == "x" for pack in store.packs)
        for pack in store.packs if not late else ():
            gone = replace(
                store, packs=store.packs - {pack}, erased=store.erased | {pack}
            )
            yield Accident("end"), gone


# --- exploring --------------------------------------------------------------------

ENDED = Expiry(step="end")
Actor = Backup | Expiry | Verification | Accident
State = tuple[Store, tuple[Actor, ...]]


def in_order(actors: tuple[Actor, ...]) -> tuple[Actor, ...]:
    """Of two expiries it does not matter which is which."""
    twins = [n for n, actor in enumerate(actors) if isinstance(actor, Expiry)]
    if len(twins) < 2:
        return actors
    ordered = list(actors)
    for n, actor in zip(twins, sorted(actors[n] for n in twins), strict=True):
        ordered[n] = actor
    return tuple(ordered)


def waits_for_twin(actor: Actor, before: Actor) -> bool:
    """Two backups alike differ in their names only: let one begin first."""
    return (
        isinstance(actor, Backup)
        and isinstance(before, Backup)
        and before.step == "choose"
        and actor.own_packs == before.own_packs
    )


def wrong(state: State) -> bool:
    return bool(state[0].lost()) or any(actor.step == "wrong" for actor in state[1])


def successors(state: State, rules: Rules) -> Iterator[State]:
    store, actors = state
    for number, actor in enumerate(actors):
        if actor.ended() or (number > 0 and waits_for_twin(actor, actors[number - 1])):
            continue
        for stepped, after in actor.steps(store, rules):
            if stepped.ended() and stepped.step != "wrong":
                stepped = ENDED
            yield after, in_order((*actors[:number], stepped, *actors[number + 1 :]))
        # One that is never heard of again has crashed.  It must be told only
        # where time would otherwise wait for it.
        if not actor.may_wait(store):
            yield store, in_order((*actors[:number], ENDED, *actors[number + 1 :]))
    if store.now < TICKS and all(a.ended() or a.may_wait(store) for a in actors):
        yield replace(store, now=store.now + 1), actors


def explore(
    state: State, rules: Rules, limit: int = 400_000
) -> tuple[int, State | None]:
    """Every reachable state; the first in which something is wrong."""
    seen = {state}
    waiting = [state]
    while waiting and len(seen) < limit:
        for following in successors(waiting.pop(), rules):
            if following in seen:
                continue
            if wrong(following):
                return len(seen), following
            seen.add(following)
            waiting.append(following)
    assert not waiting, "too many states"
    return len(seen), None


def repository() -> Store:
    """A full backup, one on top of it, one that died."""
    first = Manifest("a", frozenset({("a", 0), ("a", 1)}))
    second = Manifest("b", frozenset({("a", 0), ("b", 0)}))
    return Store(
        now=0,
        starts=frozenset(
            {
                Start("a", NONE, -9),
                Start("b", frozenset("a"), -9),
                Start("c", frozenset("b"), -9),
            }
        ),
        manifests=frozenset({first, second}),
        expired=frozenset(),
        packs=frozenset({("a", 0), ("a", 1), ("b", 0), ("c", 0)}),
    )


def hollow() -> Store:
    """The newest backup has no pack of its own."""
    first = Manifest("a", frozenset({("a", 0)}))
    return Store(
        now=0,
        starts=frozenset({Start("a", NONE, -9), Start("b", frozenset("a"), -9)}),
        manifests=frozenset({first, Manifest("b", first.packs)}),
        expired=frozenset(),
        packs=first.packs,
    )


def single() -> Store:
    packs = frozenset({("a", 0)})
    return Store(
        now=0,
        starts=frozenset({Start("a", NONE, -9)}),
        manifests=frozenset({Manifest("a", packs)}),
        expired=frozenset(),
        packs=packs,
    )


def died() -> Store:
    """No backup, but packs of one that died."""
    return Store(
        now=0,
        starts=frozenset({Start("c", NONE, -9)}),
        manifests=frozenset(),
        expired=frozenset(),
        packs=frozenset({("c", 0), ("c", 1)}),
    )


SCENES: dict[str, State] = {
    "backup, expiry": (repository(), (Backup("x", 1), Expiry())),
    "backup, two expiries": (hollow(), (Backup("x", 1), Expiry(), Expiry())),
    "backup after one that died, two expiries": (
        died(),
        (Backup("x", 1), Expiry(), Expiry()),
    ),
    "two backups, expiry": (single(), (Backup("x", 0), Backup("y", 0), Expiry())),
    "backup, accident": (repository(), (Backup("x", 1), Accident())),
    "verification, two expiries": (
        repository(),
        (Verification(), Expiry(), Expiry()),
    ),
    "verification, expiry, accident": (
        repository(),
        (Verification(), Expiry(), Accident()),
    ),
    "verification, backup, expiry": (
        single(),
        (Verification(), Backup("x", 1), Expiry()),
    ),
}


@pytest.mark.parametrize("scene", SCENES)
def test_no_order_of_steps_loses_a_backup(scene: str) -> None:
    count, lost = explore(SCENES[scene], Rules())
    print(f"{scene}: {count} states")
    assert lost is None
    assert count > 1000


@pytest.mark.parametrize(
    "guard, scene",
    [
        ("lists_base", "backup, expiry"),
        ("checks_age", "backup, expiry"),
        ("keeps_for_starts", "backup, expiry"),
        ("keeps_for_manifests", "backup, expiry"),
        ("lists_after_mark", "backup, expiry"),
        ("keeps_base_manifests", "backup, two expiries"),
        ("proves_packs", "backup, accident"),
        ("looks_again", "verification, two expiries"),
        ("looks_again", "verification, backup, expiry"),
        ("lists_base", "backup after one that died, two expiries"),
        ("checks_age", "backup after one that died, two expiries"),
        ("keeps_for_starts", "backup after one that died, two expiries"),
    ],
)
def test_each_guard_is_needed(guard: str, scene: str) -> None:
    _, lost = explore(SCENES[scene], replace(Rules(), **{guard: False}))
    assert lost is not None


def test_a_base_that_is_gone() -> None:
    """Expired and deleted altogether between choice and start: two guards.

    The look for the base and the look for all packs before publishing see it
    each.  Only accidents make the latter needed alone.
    """
    scene = SCENES["backup, expiry"]
    for guard in ("sees_base_gone", "proves_packs"):
        assert explore(scene, replace(Rules(), **{guard: False}))[1] is None
    neither = replace(Rules(), sees_base_gone=False, proves_packs=False)
    assert explore(scene, neither)[1] is not None


def test_longer_lives() -> None:
    """Walks at random through more actors than can be explored to the end."""
    seed = 20261121
    print(f"seed {seed}")
    source = random.Random(seed)
    for _ in range(400):
        actors: list[Actor] = [Backup(f"x{n}", n % 2) for n in range(4)]
        state: State = (repository(), (*actors, Verification(), Expiry(), Expiry()))
        while True:
            following = [s for s in successors(state, Rules()) if s != state]
            if not following:
                break
            state = source.choice(following)
            assert not wrong(state), state
