-- The sweep by lists, disconnected access systems, de-duplicated Seam events, and claims in order of arrival. Older
-- binaries keep working: they ignore the new columns, and what they leave unset causes an extra attempt, never a
-- missing one.
-- +goose Up

-- Access systems that Seam has reported on. While one is disconnected, all its keys need attention, without a call
-- for each.
CREATE TABLE acs_systems (
    acs_system_id   text        PRIMARY KEY,
    disconnected_at timestamptz,          -- null while it is connected
    problem         text,                 -- Seam's error code
    event_at        timestamptz,          -- of Seam's last event about it: an older one that arrives later is ignored
    heard_at        timestamptz,          -- when that event arrived: reads shortly after it may be stale
    checked_at      timestamptz NOT NULL  -- when Seam last reported this
);

-- Seam events already processed, by svix-id and body, so that a redelivery costs nothing. The sweep removes old ones.
CREATE TABLE seam_events (
    name        text        PRIMARY KEY,
    received_at timestamptz NOT NULL
);
CREATE INDEX seam_events_received ON seam_events (received_at);

-- Work that one replica does for all, in turn. A lease on a row, by the database's clock, as for keys.
CREATE TABLE tasks (
    name        text        PRIMARY KEY,
    next_at     timestamptz NOT NULL,
    lease_token uuid,
    lease_until timestamptz,
    result      jsonb       -- of the last run, for /v1/summary
);

-- What policy "report" found changed at Seam and left alone, in words; null: nothing.
ALTER TABLE acs_users ADD COLUMN drift text;

ALTER TABLE mobile_keys
    ADD COLUMN checks bigint  NOT NULL DEFAULT 0,     -- counts requests to look again, so that one made during an attempt isn't lost
    ADD COLUMN queued boolean NOT NULL DEFAULT false; -- due now, in the order of rank_at; otherwise next_reconcile_at is when it will be
UPDATE mobile_keys SET queued = true WHERE next_reconcile_at <= now();

-- A guest arrives soon: such an event is applied before a backlog of others.
ALTER TABLE events ADD COLUMN urgent boolean NOT NULL DEFAULT false;
CREATE INDEX events_to_apply_first ON events (seq) WHERE status = 'accepted' AND urgent;
DROP INDEX events_to_apply;
CREATE INDEX events_to_apply ON events (seq) WHERE status = 'accepted' AND NOT urgent;

DROP INDEX mobile_keys_due;
-- What is due, the nearest check-in first, without a sort: a claim must not read a whole backfill of 50,000.
CREATE INDEX mobile_keys_queue ON mobile_keys (rank_at, next_reconcile_at) WHERE queued;
-- What becomes due at a scheduled time.
CREATE INDEX mobile_keys_timer ON mobile_keys (next_reconcile_at) WHERE NOT queued AND next_reconcile_at IS NOT NULL;
-- Arrivals without a key: always few, however large the tables are.
CREATE INDEX mobile_keys_without_key ON mobile_keys (rank_at) WHERE status IN ('waiting', 'provisioning', 'attention');
-- The stays of an access system that is connected again.
CREATE INDEX mobile_keys_disconnected ON mobile_keys (source, reservation_id) WHERE reason = 'access_system_disconnected';

-- +goose Down
DROP INDEX events_to_apply, events_to_apply_first;
ALTER TABLE events DROP COLUMN urgent;
CREATE INDEX events_to_apply ON events (seq) WHERE status = 'accepted';
DROP INDEX mobile_keys_queue, mobile_keys_timer, mobile_keys_without_key, mobile_keys_disconnected;
ALTER TABLE mobile_keys DROP COLUMN checks, DROP COLUMN queued;
CREATE INDEX mobile_keys_due ON mobile_keys (next_reconcile_at) WHERE next_reconcile_at IS NOT NULL;
ALTER TABLE acs_users DROP COLUMN drift;
DROP TABLE acs_systems, seam_events, tasks;
