-- +goose NO TRANSACTION
-- Which policy a stay was completed with, which times an admin's window was based on, the first result of an event
-- that is replayed, and one place that shows whether anything has changed. Old versions may run at the same time:
-- they ignore all of it. Each statement is independent and can be repeated, so an interrupted migration continues where
-- it was, and no lock is held for long.
-- +goose Up

-- The fingerprint of the policy that check-in and check-out were completed with; null: by a version before this one.
ALTER TABLE reservations ADD COLUMN IF NOT EXISTS policy text COLLATE "C";

-- The policies that stays without a fingerprint were completed with, as far as known: most of them need nothing.
INSERT INTO settings (name, value)
    SELECT 'policy_before:' || substr(name, 8), value FROM settings WHERE name LIKE 'policy:%' AND value <> ''
    ON CONFLICT DO NOTHING;

-- Check-in and check-out as the PMS specified them when the window was set. The window lapses when the PMS changes
-- them, but not when a listing's or a source's hour or time zone changes. of_check_in and of_check_out are kept for
-- old versions.
ALTER TABLE overrides ADD COLUMN IF NOT EXISTS said_check_in text, ADD COLUMN IF NOT EXISTS said_check_out text;
-- Existing windows keep what still applies of them.
UPDATE overrides o SET said_check_in = r.check_in_said, said_check_out = r.check_out_said, of_check_in = r.check_in, of_check_out = r.check_out,
        starts_at = CASE WHEN o.of_check_in = r.check_in THEN o.starts_at END, ends_at = CASE WHEN o.of_check_out = r.check_out THEN o.ends_at END
    FROM reservations r
    WHERE (r.source, r.reservation_id) = (o.source, o.reservation_id) AND o.window_at IS NOT NULL AND o.said_check_in IS NULL;

-- The result of an event's last replay, and the one before the first replay. applied_at is always the first time.
ALTER TABLE event_results
    ADD COLUMN IF NOT EXISTS replayed_at timestamptz,
    ADD COLUMN IF NOT EXISTS replay_status text,
    ADD COLUMN IF NOT EXISTS replay_reason text,
    ADD COLUMN IF NOT EXISTS first_status text,
    ADD COLUMN IF NOT EXISTS first_reason text;

-- The results of events that are queued to be applied again. A row is deleted once the replay has its own result.
CREATE TABLE IF NOT EXISTS event_replays (
    event_id       uuid   PRIMARY KEY REFERENCES events ON DELETE CASCADE,
    seq            bigint NOT NULL,
    type           text   NOT NULL,
    status         text   NOT NULL,
    reason         text,
    reservation_id text,
    listing_id     text,
    applied_at     timestamptz,
    first_status   text,
    first_reason   text
);

-- Counts changes of what lists show: open pages look at the sum every second. Neither a timestamp nor a sequence
-- would do, because transactions don't commit in the order of either. Each connection counts in a row of its own, so
-- none waits for another. Unlogged: a crash changes the sum, too, which is all that matters.
CREATE UNLOGGED TABLE IF NOT EXISTS changes (
    slot integer PRIMARY KEY,
    n    bigint  NOT NULL
) WITH (fillfactor = 50);

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO changes AS c (slot, n) VALUES (pg_backend_pid() % 4096, 1) ON CONFLICT (slot) DO UPDATE SET n = c.n + 1;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

CREATE OR REPLACE TRIGGER note_change AFTER INSERT OR DELETE OR UPDATE OF changed_at ON mobile_keys FOR EACH STATEMENT EXECUTE FUNCTION note_change();
CREATE OR REPLACE TRIGGER note_change AFTER INSERT OR DELETE OR UPDATE OF updated_at ON listings FOR EACH STATEMENT EXECUTE FUNCTION note_change();
CREATE OR REPLACE TRIGGER note_change AFTER INSERT OR DELETE OR UPDATE ON event_results FOR EACH STATEMENT EXECUTE FUNCTION note_change();
CREATE OR REPLACE TRIGGER note_change AFTER INSERT ON event_queue FOR EACH STATEMENT EXECUTE FUNCTION note_change();
CREATE OR REPLACE TRIGGER note_change AFTER INSERT OR UPDATE OF reason ON event_fetches FOR EACH STATEMENT EXECUTE FUNCTION note_change();

-- Live stays that were completed with a policy other than the present one, without the many finished ones.
DROP INDEX CONCURRENTLY IF EXISTS reservations_policy; -- an interrupted one is not valid
CREATE INDEX CONCURRENTLY reservations_policy ON reservations (source, policy) WHERE status = 'confirmed' AND pruned = 0;

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS reservations_policy;
DROP TRIGGER IF EXISTS note_change ON mobile_keys;
DROP TRIGGER IF EXISTS note_change ON listings;
DROP TRIGGER IF EXISTS note_change ON event_results;
DROP TRIGGER IF EXISTS note_change ON event_queue;
DROP TRIGGER IF EXISTS note_change ON event_fetches;
DROP FUNCTION IF EXISTS note_change;
DROP TABLE IF EXISTS changes;
DROP TABLE IF EXISTS event_replays;
ALTER TABLE event_results DROP COLUMN IF EXISTS replayed_at, DROP COLUMN IF EXISTS replay_status, DROP COLUMN IF EXISTS replay_reason,
    DROP COLUMN IF EXISTS first_status, DROP COLUMN IF EXISTS first_reason;
ALTER TABLE overrides DROP COLUMN IF EXISTS said_check_in, DROP COLUMN IF EXISTS said_check_out;
DELETE FROM settings WHERE name LIKE 'policy_before:%';
ALTER TABLE reservations DROP COLUMN IF EXISTS policy;
