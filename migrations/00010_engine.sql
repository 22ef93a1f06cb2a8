-- +goose NO TRANSACTION
-- What intake remembers so that one bad detail loses nothing else: notes on fields that could not be read, rooms of
-- bookings by their unit, stays that have begun or change rooms, guests, and events that wait for a lock. Old
-- versions may run at the same time: they leave the new columns null, which means "nothing" in each. Each statement
-- locks one table and can be repeated.
-- +goose Up

ALTER TABLE event_queue
    ADD COLUMN IF NOT EXISTS bytes      integer,                      -- of body and documents, so that a claim is bounded; null: unknown
    ADD COLUMN IF NOT EXISTS not_before timestamptz,                  -- postponed until then: what it is about was locked
    ADD COLUMN IF NOT EXISTS tries      integer NOT NULL DEFAULT 0,   -- how often it was postponed
    ADD COLUMN IF NOT EXISTS about      text[];                       -- of one that was postponed: later events about the same objects wait for it
CREATE INDEX IF NOT EXISTS event_queue_later ON event_queue (not_before) WHERE not_before IS NOT NULL;

ALTER TABLE event_results ADD COLUMN IF NOT EXISTS detail jsonb; -- notes, and items that were rejected while others were applied

ALTER TABLE event_fetches
    ADD COLUMN IF NOT EXISTS asked_at timestamptz,                    -- when the PMS was first asked, to know for how long it has failed
    ADD COLUMN IF NOT EXISTS applied  boolean NOT NULL DEFAULT false; -- part of the event has been applied already, without documents

ALTER TABLE reservations
    ADD COLUMN IF NOT EXISTS unit          text,        -- the PMS's room within the booking; null: it has none, or the row is older than this column
    ADD COLUMN IF NOT EXISTS checked_in_at timestamptz, -- when the PMS reported that the stay has begun
    ADD COLUMN IF NOT EXISTS segments      jsonb,       -- the rooms of a stay that changes rooms, in order of time; null: one room
    ADD COLUMN IF NOT EXISTS segment_due   timestamptz, -- when the next of them begins
    ADD COLUMN IF NOT EXISTS notes         jsonb,       -- what could not be read of the last event
    ADD COLUMN IF NOT EXISTS bodies        bytea;       -- 16 bytes of the hash of each recent body without a timestamp of its own that confirmed the row

-- A guest that a PMS reports separately: the content of its last event, for reservations that only refer to the
-- guest. Removed by retention.
CREATE TABLE IF NOT EXISTS guests (
    source      text        NOT NULL,
    guest_id    text        NOT NULL,
    guest_email text,
    guest_name  text,
    guest_phone text,
    version_at  timestamptz NOT NULL,
    version_seq bigint      NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (source, guest_id)
);
CREATE INDEX IF NOT EXISTS guests_age ON guests (updated_at);
CREATE INDEX IF NOT EXISTS guests_email ON guests (lower(guest_email)) WHERE guest_email IS NOT NULL;

-- +goose Down
DROP TABLE IF EXISTS guests;
ALTER TABLE reservations DROP COLUMN IF EXISTS unit, DROP COLUMN IF EXISTS checked_in_at, DROP COLUMN IF EXISTS segments, DROP COLUMN IF EXISTS segment_due, DROP COLUMN IF EXISTS notes, DROP COLUMN IF EXISTS bodies;
ALTER TABLE event_fetches DROP COLUMN IF EXISTS asked_at, DROP COLUMN IF EXISTS applied;
ALTER TABLE event_results DROP COLUMN IF EXISTS detail;
DROP INDEX IF EXISTS event_queue_later;
ALTER TABLE event_queue DROP COLUMN IF EXISTS bytes, DROP COLUMN IF EXISTS not_before, DROP COLUMN IF EXISTS tries, DROP COLUMN IF EXISTS about;
