-- What one request of an admin did to several reservations, so that it can be undone for a while, and views of lists that people
-- save. Old versions of the binary leave the tables alone.
-- +goose Up
CREATE TABLE action_batches (
    batch_id   uuid        PRIMARY KEY,
    at         timestamptz NOT NULL,
    undo_until timestamptz NOT NULL,
    action     text        NOT NULL,
    author     text        NOT NULL,
    refused    jsonb       NOT NULL DEFAULT '[]', -- of which reservations it was refused, and why
    undone_at  timestamptz
);
CREATE INDEX action_batches_at ON action_batches (at);

CREATE TABLE action_batch_stays (
    batch_id       uuid NOT NULL REFERENCES action_batches ON DELETE CASCADE,
    source         text NOT NULL,
    reservation_id text NOT NULL,
    before         jsonb,       -- admins' decisions before and after the action; null where nothing can be undone
    after          jsonb,
    undone_at      timestamptz,
    PRIMARY KEY (batch_id, source, reservation_id),
    FOREIGN KEY (source, reservation_id) REFERENCES reservations ON DELETE CASCADE
);
CREATE INDEX action_batch_stays_stay ON action_batch_stays (source, reservation_id);

CREATE TABLE saved_views (
    page       text        NOT NULL, -- the list that it is a view of
    name       text        NOT NULL,
    query      text        NOT NULL, -- the list's filters, as in its address
    author     text        NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (page, name)
);

-- +goose Down
DROP TABLE saved_views;
DROP TABLE action_batch_stays;
DROP TABLE action_batches;
