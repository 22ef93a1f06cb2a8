-- What admins decide about individual reservations, who is signed in to the web page, and what happened in each hour,
-- for its chart. Old versions may run at the same time while replicas are replaced one by one, but they don't know of
-- holds, revocations and windows.
-- +goose Up

-- An admin's decision about a reservation, which takes precedence over the PMS. No row: no decision.
CREATE TABLE overrides (
    source            text        NOT NULL,
    reservation_id    text        NOT NULL,
    held_at           timestamptz,   -- nothing at Seam is changed while it is set
    held_by           text,
    held_why          text,
    revoked_at        timestamptz,   -- no key, whatever the PMS says, until it is issued again
    revoked_by        text,
    revoked_why       text,
    window_at         timestamptz,
    window_by         text,
    window_why        text,
    starts_at         timestamptz,   -- access begins then, as long as check-in is unchanged
    of_check_in       timestamptz,
    ends_at           timestamptz,   -- access ends then, as long as check-out is unchanged
    of_check_out      timestamptz,
    replace_credential text,         -- the mobile key that a new one replaces
    PRIMARY KEY (source, reservation_id),
    FOREIGN KEY (source, reservation_id) REFERENCES reservations ON DELETE CASCADE
);

-- Who is signed in to the web page. It holds hashes of the cookie's value and of the token, not the values.
CREATE TABLE sessions (
    session_hash bytea       PRIMARY KEY,
    token_hash   bytea       NOT NULL,  -- the token of the sign-in: the session ends when it is removed from the configuration
    person       text        NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL
);
CREATE INDEX sessions_expired ON sessions (expires_at);

-- What happened, counted by hour. Each replica adds to it every few seconds.
CREATE TABLE activity (
    source  text        NOT NULL,
    kind    text        NOT NULL,
    hour    timestamptz NOT NULL,
    n       bigint      NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (source, kind, hour)
) WITH (fillfactor = 70);
CREATE INDEX activity_hour ON activity (hour);

-- The event that last changed what is desired, whose trace the work at Seam belongs to; null without tracing.
ALTER TABLE mobile_keys ADD COLUMN event_id uuid;

-- Who arrives when: the page "Today".
CREATE INDEX mobile_keys_arrivals ON mobile_keys (check_in) INCLUDE (source, reservation_id, status) WHERE NOT cancelled;

-- +goose Down
DROP TABLE overrides, sessions, activity;
ALTER TABLE mobile_keys DROP COLUMN event_id;
DROP INDEX mobile_keys_arrivals;
