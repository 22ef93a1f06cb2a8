-- Formats of other PMSs: what surrounds a body, bookings of several rooms, guests that are told of apart, merged listings, and
-- events that need documents of the PMS first. Old versions may go on beside it: what it adds they leave alone.
-- +goose Up

-- Headers, query and path of a delivery, and the kind of its body, for its format to read; null for the canonical one.
ALTER TABLE events ADD COLUMN request jsonb;

-- The PMS's booking, where it is several reservations here, and its guest, where it tells of guests apart.
ALTER TABLE reservations ADD COLUMN booking_id text, ADD COLUMN guest_id text;
-- What belongs together when one event is about all of a booking; and what a guest's new address concerns. Few rows have either.
CREATE INDEX reservations_booking ON reservations (source, booking_id) WHERE booking_id IS NOT NULL;
CREATE INDEX reservations_guest_id ON reservations (source, guest_id) WHERE guest_id IS NOT NULL;

-- The listing that a deleted one has become part of: its stays go on there.
ALTER TABLE listings ADD COLUMN merged_into text;

-- Events that wait for documents of the PMS. A row goes when the event is queued again, with the documents, and applied.
CREATE TABLE event_fetches (
    event_id   uuid        PRIMARY KEY REFERENCES events ON DELETE CASCADE,
    seq        bigint      NOT NULL,          -- its place in the order
    source     text        NOT NULL,
    wants      jsonb       NOT NULL,          -- what is to be fetched
    documents  json,                          -- what was, by kind, as it came: jsonb refuses some of it; null until all is there
    attempts   integer     NOT NULL DEFAULT 0,
    reason     text,                          -- why it still waits
    tries      jsonb       NOT NULL DEFAULT '[]', -- each request: when, what, how it ended
    created_at timestamptz NOT NULL
);
-- Those of a source that can be fetched since its configuration says how.
CREATE INDEX event_fetches_source ON event_fetches (source) WHERE documents IS NULL;

-- The list of events, in its order.
CREATE INDEX event_fetches_seq ON event_fetches (seq);

-- How many listings q leaves. The planner doesn't take this from the index listings_text, which is of some rows only.
CREATE STATISTICS listings_text_values ON (lower(listing_id || ' ' || coalesce(name, ''))) FROM listings;

-- +goose Down
DROP STATISTICS listings_text_values;
DROP TABLE event_fetches;
ALTER TABLE listings DROP COLUMN merged_into;
DROP INDEX reservations_booking, reservations_guest_id;
ALTER TABLE reservations DROP COLUMN booking_id, DROP COLUMN guest_id;
ALTER TABLE events DROP COLUMN request;
