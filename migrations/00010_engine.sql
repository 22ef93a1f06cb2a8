-- What intake remembers so that nothing is lost for a detail: notes on fields that could not be read, rooms of bookings by their unit,
-- stays that have begun or move while they last, guests, and events that wait for a lock. Old versions may go on beside it: they leave
-- the new columns null, which is what each of them means by "nothing".
-- +goose Up

ALTER TABLE event_queue
    ADD COLUMN bytes      integer,                      -- of body and documents, so that a claim is bounded; null: not known
    ADD COLUMN not_before timestamptz,                  -- put back until then: what it is about was locked
    ADD COLUMN tries      integer NOT NULL DEFAULT 0,   -- how often it was put back
    ADD COLUMN about      text[];                       -- of one that was put back: later events about the same wait behind it
CREATE INDEX event_queue_later ON event_queue (not_before) WHERE not_before IS NOT NULL;

ALTER TABLE event_results ADD COLUMN detail jsonb; -- notes, and items that were rejected while others were applied

ALTER TABLE event_fetches
    ADD COLUMN asked_at timestamptz,                    -- when the PMS was first asked: for how long it has failed
    ADD COLUMN applied  boolean NOT NULL DEFAULT false; -- something of the event has been applied already, without documents

ALTER TABLE reservations
    ADD COLUMN unit          text,        -- the PMS's room within the booking; null: it has none, or the row is older than this column
    ADD COLUMN checked_in_at timestamptz, -- when the PMS reported that the stay has begun
    ADD COLUMN segments      jsonb,       -- the rooms of a stay that moves while it lasts, in the order of time; null: one room
    ADD COLUMN segment_due   timestamptz, -- when the next of them begins
    ADD COLUMN notes         jsonb,       -- what could not be read of the last event
    ADD COLUMN bodies        bytea;       -- 16 bytes of the hash of each of the last bodies without a time of their own that confirmed it

-- A guest that a PMS tells of apart: what its last event said, for reservations that name the guest without saying it. Forgotten by retention.
CREATE TABLE guests (
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
CREATE INDEX guests_age ON guests (updated_at);
CREATE INDEX guests_email ON guests (lower(guest_email)) WHERE guest_email IS NOT NULL;

-- +goose Down
DROP TABLE guests;
ALTER TABLE reservations DROP COLUMN unit, DROP COLUMN checked_in_at, DROP COLUMN segments, DROP COLUMN segment_due, DROP COLUMN notes, DROP COLUMN bodies;
ALTER TABLE event_fetches DROP COLUMN asked_at, DROP COLUMN applied;
ALTER TABLE event_results DROP COLUMN detail;
DROP INDEX event_queue_later;
ALTER TABLE event_queue DROP COLUMN bytes, DROP COLUMN not_before, DROP COLUMN tries, DROP COLUMN about;
