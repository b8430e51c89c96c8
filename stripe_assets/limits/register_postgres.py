"""The register of leases in PostgreSQL: one row an owner and bucket, changed under a lock of the account, by the server's clock."""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Timer
from typing import Any

import psycopg

from stripe_assets.limits.registers import Address, Claim, Rival, Standing, Unreachable

ANSWER_WITHIN = 2
"""Seconds; a lease lasts longer, so one lost answer is no loss."""
CUT_AFTER = ANSWER_WITHIN + 0.5
"""Seconds after which a connection is broken: a server that works ends a question itself before that, and says why."""

CREATE = """
create table if not exists stripe_assets_seats (
    account text not null,
    bucket text not null,
    owner text not null,
    seats integer not null,
    want integer not null,
    most integer not null,
    ends_at timestamptz not null,
    number bigint not null,
    primary key (account, bucket, owner)
)
"""
LOCK = "select pg_advisory_xact_lock(hashtextextended('stripe_assets_seats ' || %(account)s, 0))"
TIMEOUT = f"set local statement_timeout = '{ANSWER_WITHIN}s'"
CLEAR = "delete from stripe_assets_seats where account = %(account)s and ends_at < clock_timestamp() - interval '1 minute'"
CLAIM = """
insert into stripe_assets_seats as own (account, bucket, owner, seats, want, most, ends_at, number)
select
    %(account)s,
    %(bucket)s,
    %(owner)s,
    least(%(hold)s, greatest(
        coalesce(sum(seats) filter (where owner = %(owner)s), 0),
        greatest(%(most)s, max(most) filter (where owner <> %(owner)s)) - coalesce(sum(seats) filter (where owner <> %(owner)s), 0)
    )),
    %(want)s,
    %(most)s,
    clock_timestamp() + %(lasts)s * interval '1 second',
    %(number)s
from stripe_assets_seats
where account = %(account)s and bucket = %(bucket)s and ends_at > clock_timestamp()
on conflict (account, bucket, owner)
do update set seats = excluded.seats, want = excluded.want, most = excluded.most, ends_at = excluded.ends_at, number = excluded.number
where own.number <= excluded.number
"""
STANDING = """
select owner, seats, want, most, extract(epoch from clock_timestamp())::double precision
from stripe_assets_seats
where account = %(account)s and bucket = %(bucket)s and ends_at > clock_timestamp()
"""


class PostgresRegister:
    """The leases of one account in one PostgreSQL database, in one round trip however many buckets."""

    def __init__(self, address: Address, *, account: str) -> None:
        """Connect and make the table, or raise `Unreachable`."""
        self.address = address
        self._account = account
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        try:
            connection = self._connected()
            with _answering(connection), connection.transaction():
                connection.execute(LOCK, {"account": ""})  # two that create it at once would fail
                connection.execute(CREATE)
        except psycopg.Error as error:
            self.close()
            raise Unreachable(address.said(error)) from None  # what it was made from may name the password

    def claim(self, owner: str, number: int, claims: Sequence[Claim]) -> list[Standing]:
        """Write down what can be had of each claim, all in one transaction that is sent as a whole."""
        account = {"account": self._account}
        try:
            connection = self._connected()
            with _answering(connection), connection.pipeline(), connection.transaction():
                connection.execute(TIMEOUT)
                connection.execute(LOCK, account)
                connection.execute(CLEAR, account)
                answers = []
                for claim in claims:
                    names = {**account, "bucket": claim.bucket, "owner": owner}
                    numbers = {"number": number, "hold": claim.hold, "want": claim.want, "most": claim.most, "lasts": claim.lasts}
                    connection.execute(CLAIM, {**names, **numbers})
                    answers.append(connection.execute(STANDING, names))
            return [_standing(owner, answer.fetchall()) for answer in answers]
        except psycopg.Error as error:
            self.close()
            raise Unreachable(self.address.said(error)) from error

    def close(self) -> None:
        """Let go of the connection; the next claim makes another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> "psycopg.Connection[tuple[Any, ...]]":
        if self._connection is None:
            # No prepared statements, and the usual isolation: it works behind a pooler of transactions as well.
            self._connection = psycopg.connect(
                self.address.url,
                autocommit=True,
                prepare_threshold=None,
                connect_timeout=ANSWER_WITHIN,
                tcp_user_timeout=1000 * ANSWER_WITHIN,
            )
            self._connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        return self._connection


@contextmanager
def _answering(connection: "psycopg.Connection[tuple[Any, ...]]") -> Iterator[None]:
    """Break the connection to a server that does not answer in time: it may be stopped, or somebody may hold the lock for ever.

    psycopg would wait without an end, and the server's own timeout is of no use when the server hangs.
    """
    with socket.socket(fileno=os.dup(connection.fileno())) as line:
        timer = Timer(CUT_AFTER, line.shutdown, [socket.SHUT_RDWR])
        timer.start()
        try:
            yield
        except psycopg.Error as error:
            if timer.is_alive():
                raise
            raise psycopg.OperationalError(f"no answer within {CUT_AFTER:g} seconds") from error
        finally:
            timer.cancel()
            timer.join()


def _standing(owner: str, rows: list[tuple[Any, ...]]) -> Standing:
    """Read a bucket's rows as the answer to the owner's claim."""
    held, at = next((seats, at) for name, seats, _, _, at in rows if name == owner)
    return Standing(held, tuple(Rival(name, want, most) for name, _, want, most, _ in rows if name != owner), at)
