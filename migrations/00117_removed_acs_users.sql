-- ACS users that Seam no longer showed when they were forgotten. A removal may yet be refused by the access system, and
-- answers may have agreed wrongly: one that Seam shows again before its access would have ended is removed again.
-- +goose Up
CREATE TABLE removed_acs_users (
    acs_user_id    text        PRIMARY KEY,
    acs_system_id  text        NOT NULL,
    source         text        NOT NULL,
    reservation_id text        NOT NULL,
    removed_at     timestamptz NOT NULL,           -- when Seam was found to have it no longer
    ends_at        timestamptz,                    -- the end of its access; null: not known
    looked_at      timestamptz,                    -- the last look for it since then
    deleted_at     timestamptz,                    -- our last delete since Seam showed it again; null: Seam doesn't
    deletes        smallint    NOT NULL DEFAULT 0, -- since Seam showed it again, without effect
    kept_until     timestamptz NOT NULL
);
CREATE INDEX removed_acs_users_reservation ON removed_acs_users (source, reservation_id);
CREATE INDEX removed_acs_users_system ON removed_acs_users (acs_system_id);

-- +goose Down
DROP TABLE removed_acs_users;
