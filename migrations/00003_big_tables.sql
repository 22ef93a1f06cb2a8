-- Cheap to accept, cheap to apply, and quick to list with five million events and a million reservations. Accepting
-- appends to events and to a queue; the result of an event, and the indexes that lists need, are written when it is
-- applied. Not for a rolling upgrade: stop the old version first. It rewrites events, about 100,000 per second.
-- +goose Up

CREATE SEQUENCE event_order; -- of receipt; renewed when a rejected event is sent again

-- Events that wait to be applied: normally empty. A row is deleted in the commit that writes its result.
CREATE TABLE event_queue (
    seq            bigint  PRIMARY KEY DEFAULT nextval('event_order'),
    event_id       uuid    NOT NULL,
    source         text    NOT NULL,
    type           text    NOT NULL,
    reservation_id text,
    listing_id     text,
    urgent         boolean NOT NULL -- a guest arrives soon: applied before the rest
);
-- The few that go first, however many others wait.
CREATE INDEX event_queue_urgent ON event_queue (seq) WHERE urgent;

-- The result of an event, and what lists show of it. Only a replay changes it: it queues the event again.
CREATE TABLE event_results (
    seq            bigint PRIMARY KEY,   -- the order of the list
    event_id       uuid   NOT NULL,
    source         text   NOT NULL,
    type           text   NOT NULL,
    status         text   NOT NULL CHECK (status IN ('applied', 'superseded', 'ignored', 'rejected')),
    reason         text,
    reservation_id text,
    listing_id     text,
    occurred_at    timestamptz,
    received_at    timestamptz NOT NULL,
    applied_at     timestamptz
);

INSERT INTO event_queue (seq, event_id, source, type, reservation_id, listing_id, urgent)
    SELECT seq, event_id, source, type, reservation_id, listing_id, urgent FROM events WHERE status = 'accepted';
INSERT INTO event_results (seq, event_id, source, type, status, reason, reservation_id, listing_id, occurred_at, received_at, applied_at)
    SELECT seq, event_id, source, type, status, reason, reservation_id, listing_id, occurred_at, received_at, applied_at
    FROM events WHERE status <> 'accepted';
SELECT setval('event_order', greatest((SELECT max(seq) FROM events), 1));

-- Filters source, type and status, each alone or together: they have few values, so a list merges one probe per
-- combination instead of reading past what does not match. By -seq, an order that no other index has: given one in
-- that order, the planner would rather read it from its end, betting that a match comes soon.
CREATE INDEX event_results_kind ON event_results (source, type, status, (-seq));
-- Filters reservation_id and listing_id, and retention by reservation.
CREATE INDEX event_results_reservation ON event_results (reservation_id, source, seq) WHERE reservation_id IS NOT NULL;
CREATE INDEX event_results_listing ON event_results (listing_id, (-seq)) WHERE listing_id IS NOT NULL;
-- A rejected event that is sent again loses its result. Few rows.
CREATE INDEX event_results_rejected ON event_results (event_id) WHERE status = 'rejected';

-- events keeps what was posted, and what identifies a duplicate.
DROP INDEX events_to_apply, events_to_apply_first, events_seq, events_reservation, events_listing, events_unapplied_status;
ALTER TABLE events
    ALTER COLUMN seq DROP IDENTITY,
    ALTER COLUMN body DROP NOT NULL,                     -- null: removed by retention
    ADD COLUMN rejected boolean NOT NULL DEFAULT false;  -- the sender may try again under the same key
UPDATE events SET rejected = true WHERE status = 'rejected';
ALTER TABLE events
    ALTER COLUMN seq SET DEFAULT nextval('event_order'),
    DROP COLUMN status, DROP COLUMN reason, DROP COLUMN applied_at;

-- Keys carry what lists filter by, so that an index is enough; check-ins by the month in UTC, counted from year 0, 0
-- for none.
ALTER TABLE mobile_keys
    ADD COLUMN cancelled boolean NOT NULL DEFAULT false,
    ADD COLUMN check_in timestamptz,
    ADD COLUMN check_in_month integer NOT NULL GENERATED ALWAYS AS (coalesce(
        (extract(year FROM check_in AT TIME ZONE 'UTC') * 12 + extract(month FROM check_in AT TIME ZONE 'UTC'))::integer, 0)) STORED;
UPDATE mobile_keys k SET cancelled = r.status = 'cancelled', check_in = r.check_in
    FROM reservations r WHERE (r.source, r.reservation_id) = (k.source, k.reservation_id);
DROP INDEX mobile_keys_recent, mobile_keys_status, reservations_check_in;
-- Filters source, status, key_status, check_in_from and check_in_to, each alone or together, newest change first; merged as for events.
CREATE INDEX mobile_keys_kind ON mobile_keys (source, cancelled, status, check_in_month, changed_at DESC, reservation_id) INCLUDE (check_in);
-- No filter, and q where it matches many: newest change first. An expression, for the same reason as -seq.
CREATE INDEX mobile_keys_recent ON mobile_keys ((changed_at AT TIME ZONE 'UTC') DESC, source, reservation_id);

-- How much of a finished stay retention has removed: 0 nothing, 1 raw bodies and guest data, 2 events, 3 the timeline.
ALTER TABLE reservations ADD COLUMN pruned smallint NOT NULL DEFAULT 0;
CREATE INDEX reservations_prune ON reservations (pruned, check_out);
-- Identities of guests who have not stayed for a long time.
CREATE INDEX user_identities_age ON user_identities (created_at);

-- A timeline is only ever read, and removed, by its reservation.
ALTER TABLE timeline DROP CONSTRAINT timeline_pkey;
DROP INDEX timeline_reservation;
ALTER TABLE timeline ADD PRIMARY KEY (source, reservation_id, id);

-- Filters source and deleted, merged as for events, and listing_id.
CREATE INDEX listings_kind ON listings (source, deleted, updated_at DESC, listing_id) WHERE known;
CREATE INDEX listings_id ON listings (listing_id) WHERE known;

-- The filter listing_id without a source, and, as before, the fan-out of a listing's change.
DROP INDEX reservations_listing;
CREATE INDEX reservations_listing ON reservations (listing_id, source, listing_generation) WHERE listing_id IS NOT NULL;

-- Rows that earlier versions created only to lock them.
DELETE FROM reservations WHERE version_seq = 0;

-- Parts of ids, addresses and names (q). pg_trgm is in every distribution's contrib and trusted since Postgres 13;
-- where it isn't available, q reads the table.
-- +goose StatementBegin
DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX reservations_text ON reservations USING gin
        (lower(reservation_id || ' ' || coalesce(listing_id, '') || ' ' || coalesce(guest_email, '') || ' ' || coalesce(guest_name, '')) gin_trgm_ops);
    CREATE INDEX listings_text ON listings USING gin (lower(listing_id || ' ' || coalesce(name, '')) gin_trgm_ops) WHERE known;
EXCEPTION WHEN OTHERS THEN
    RAISE NOTICE 'the filter q reads whole tables: %', SQLERRM;
END
$$;
-- +goose StatementEnd

-- Vacuum by the number of changes, not by a fifth of a large table: dead rows in the queue slow down each claim, keys
-- are rewritten at each step, and tables that only grow need their visibility map for index-only scans.
ALTER TABLE event_queue SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE events SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
ALTER TABLE event_results SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
ALTER TABLE timeline SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
ALTER TABLE reservations SET (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);
ALTER TABLE mobile_keys SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.05);

-- +goose Down
DROP INDEX IF EXISTS reservations_text, listings_text;
DROP INDEX listings_kind, listings_id, reservations_listing;
CREATE INDEX reservations_listing ON reservations (source, listing_id, listing_generation) WHERE listing_id IS NOT NULL;
ALTER TABLE timeline DROP CONSTRAINT timeline_pkey;
ALTER TABLE timeline ADD PRIMARY KEY (id);
CREATE INDEX timeline_reservation ON timeline (source, reservation_id, id);
DROP INDEX reservations_prune, user_identities_age;
ALTER TABLE reservations DROP COLUMN pruned;
CREATE INDEX reservations_check_in ON reservations (check_in);
DROP INDEX mobile_keys_kind, mobile_keys_recent;
ALTER TABLE mobile_keys DROP COLUMN check_in_month, DROP COLUMN cancelled, DROP COLUMN check_in;
CREATE INDEX mobile_keys_recent ON mobile_keys (changed_at DESC, source, reservation_id);
CREATE INDEX mobile_keys_status ON mobile_keys (status, changed_at DESC);
ALTER TABLE events
    ADD COLUMN status text CHECK (status IN ('accepted', 'applied', 'superseded', 'ignored', 'rejected')),
    ADD COLUMN reason text, ADD COLUMN applied_at timestamptz;
UPDATE events e SET status = 'accepted' FROM event_queue q WHERE q.event_id = e.event_id;
UPDATE events e SET status = r.status, reason = r.reason, applied_at = r.applied_at FROM event_results r WHERE r.event_id = e.event_id;
DELETE FROM events WHERE status IS NULL;
UPDATE events SET body = '' WHERE body IS NULL;
ALTER TABLE events
    ALTER COLUMN status SET NOT NULL, ALTER COLUMN body SET NOT NULL, DROP COLUMN rejected,
    ALTER COLUMN seq DROP DEFAULT;
ALTER TABLE events ALTER COLUMN seq ADD GENERATED BY DEFAULT AS IDENTITY;
SELECT setval(pg_get_serial_sequence('events', 'seq'), greatest((SELECT max(seq) FROM events), 1));
CREATE INDEX events_to_apply_first ON events (seq) WHERE status = 'accepted' AND urgent;
CREATE INDEX events_to_apply ON events (seq) WHERE status = 'accepted' AND NOT urgent;
CREATE UNIQUE INDEX events_seq ON events (seq);
CREATE INDEX events_reservation ON events (source, reservation_id, seq) WHERE reservation_id IS NOT NULL;
CREATE INDEX events_listing ON events (source, listing_id, seq) WHERE listing_id IS NOT NULL;
CREATE INDEX events_unapplied_status ON events (status, seq) WHERE status IN ('ignored', 'rejected', 'superseded');
DROP TABLE event_queue, event_results;
DROP SEQUENCE event_order;
