-- Formats of other PMSs: request metadata, bookings of several rooms, guests that a PMS reports separately, merged
-- listings, and events that first need documents of the PMS. Old versions may run at the same time: they leave the
-- additions alone.
-- +goose Up

-- Headers, query and path of a delivery, and its content type, for its format to read; null for the canonical one.
ALTER TABLE events ADD COLUMN request jsonb;

-- The PMS's booking, if it is several reservations here, and its guest, if the PMS reports guests separately.
ALTER TABLE reservations ADD COLUMN booking_id text, ADD COLUMN guest_id text;
-- What belongs together when one event is about a whole booking, or changes a guest's address. Few rows have either.
CREATE INDEX reservations_booking ON reservations (source, booking_id) WHERE booking_id IS NOT NULL;
CREATE INDEX reservations_guest_id ON reservations (source, guest_id) WHERE guest_id IS NOT NULL;

-- The listing that a deleted one was merged into: its stays continue there.
ALTER TABLE listings ADD COLUMN merged_into text;

-- Events that wait for documents of the PMS. A row is deleted once the event, queued again with its documents, is
-- applied.
CREATE TABLE event_fetches (
    event_id   uuid        PRIMARY KEY REFERENCES events ON DELETE CASCADE,
    seq        bigint      NOT NULL,          -- its position in the order
    source     text        NOT NULL,
    wants      jsonb       NOT NULL,          -- what to fetch
    documents  json,                          -- what was fetched, by kind, unchanged: jsonb refuses some of it; null until complete
    attempts   integer     NOT NULL DEFAULT 0,
    reason     text,                          -- why it still waits
    tries      jsonb       NOT NULL DEFAULT '[]', -- each request: when, what, how it ended
    created_at timestamptz NOT NULL
);
-- Those of a source that became fetchable through a change of its configuration.
CREATE INDEX event_fetches_source ON event_fetches (source) WHERE documents IS NULL;

-- The list of events, in its order.
CREATE INDEX event_fetches_seq ON event_fetches (seq);

-- How many listings q matches. The planner doesn't take this from the index listings_text, because that is partial.
CREATE STATISTICS listings_text_values ON (lower(listing_id || ' ' || coalesce(name, ''))) FROM listings;

-- +goose Down
DROP STATISTICS listings_text_values;
DROP TABLE event_fetches;
ALTER TABLE listings DROP COLUMN merged_into;
DROP INDEX reservations_booking, reservations_guest_id;
ALTER TABLE reservations DROP COLUMN booking_id, DROP COLUMN guest_id;
ALTER TABLE events DROP COLUMN request;
