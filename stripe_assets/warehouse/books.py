"""The tables in which the sync keeps its own books, as numbered migrations: every file gets from its number to the newest.

A migration that has been released is never edited; a change is a further one. How they are run belongs in `migrations`,
what the tables mean in `ledger`.
"""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    # 1: the first release.
    (
        "create table if not exists stripe_sync.versions (books integer not null, api_version varchar not null)",
        """create table if not exists stripe_sync.runs (
            run_id varchar primary key, started_at timestamptz not null, ended_at timestamptz, state varchar not null,
            requests bigint, objects bigint, throttled bigint, seconds double, details json)""",
        """create table if not exists stripe_sync.run_types (
            run_id varchar not null, account_id varchar not null, type varchar not null, state varchar not null,
            rows bigint not null, requests bigint not null, seconds double not null, reason varchar, request_id varchar)""",
        # One row a type: how far its list (`created_from`) and the events about it (`events_from`) have been stored.
        """create table if not exists stripe_sync.checkpoints (
            account_id varchar not null, type varchar not null, state varchar not null, events_from bigint,
            created_from bigint, since bigint, started_at timestamptz not null, updated_at timestamptz not null)""",
        # The open and finished slices of a backfill; together they always cover the whole of `created` time.
        """create table if not exists stripe_sync.slices (
            account_id varchar not null, type varchar not null, slice integer not null,
            created_gte bigint, created_lt bigint, cursor varchar, done boolean not null)""",
        # Requests still to be made for one object each: rows, never tasks. `purpose`: 'children' of it, or 'object' itself.
        "create sequence if not exists stripe_sync.pending_numbers",
        """create table if not exists stripe_sync.pending (
            number bigint not null default nextval('stripe_sync.pending_numbers'), account_id varchar not null,
            type varchar not null, purpose varchar not null, object_id varchar not null, cursor varchar)""",
        # What events said; kept until applied, and a little longer because windows overlap.
        """create table if not exists stripe_sync.changes (
            account_id varchar not null, event_id varchar not null, event_type varchar not null, created bigint not null,
            api_version varchar, object varchar, object_id varchar, payload json, applied boolean not null)""",
        """create table if not exists stripe_sync.dead_letters (
            account_id varchar not null, type varchar not null, path varchar not null, params json not null,
            reason varchar not null, request_id varchar, attempts integer not null, failed_at timestamptz not null)""",
        """create table if not exists stripe_sync.schema_changes (
            account_id varchar not null, type varchar not null, column_name varchar not null, change varchar not null,
            occurrences bigint not null, example_id varchar, noticed_at timestamptz not null)""",
    ),
    # 2: what was done to the file is recorded, and what came that fits no column.
    (
        "create table stripe_sync.migrations (made_at timestamptz not null, subject varchar not null, change varchar not null)",
        "alter table stripe_sync.run_types add column misfits json",
        "alter table stripe_sync.schema_changes add column last_noticed_at timestamptz",
    ),
    # 3: lists that are read in parts, and requests that need more than one id.
    (
        # The list may be read once more with other parameters: each such part covers the whole of `created` time.
        "alter table stripe_sync.slices add column part integer default 0",
        # `purpose` is also 'hidden' for objects that belong to one, and 'missing' where Stripe had nothing to be asked. `further`:
        # what else the request needs to say. Children that were read before `noted_at` and are not in the list any more are gone
        # (none: the list is not read whole).
        "alter table stripe_sync.pending add column further json",
        "alter table stripe_sync.pending add column noted_at timestamptz",
    ),
    # 4: a run says whose it is also where it has read no type. None: nobody could say whose key it was.
    (
        "alter table stripe_sync.runs add column account_id varchar",
        """update stripe_sync.runs r set account_id =
            (select any_value(t.account_id) from stripe_sync.run_types t where t.run_id = r.run_id)""",
    ),
    # 5: an event that is not settled yet says when its payload was made the row: a row of that time is not newer than it.
    ("alter table stripe_sync.changes add column given_at timestamptz",),
)

VERSION = len(MIGRATIONS)
"""What this release writes; a file with a higher number was written by a newer one."""
