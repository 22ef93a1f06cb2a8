-- +goose NO TRANSACTION
-- The doors that keys open, as Seam last showed them; and the stays whose doors may not open. Old versions of the binary leave them alone.
-- Each statement locks one table and can be repeated.
-- +goose Up
CREATE TABLE IF NOT EXISTS doors (
    acs_entrance_id text        COLLATE "C" PRIMARY KEY,
    acs_system_id   text        NOT NULL,
    name            text,
    mobile_keys     boolean,                         -- whether mobile keys can open it; null: not known yet
    problems        jsonb       NOT NULL DEFAULT '{}', -- what is wrong with it, and since when: {"offline": "2024-11-01T08:00:00Z"}
    seen_at         timestamptz NOT NULL
);

-- Which doors an access group opens.
CREATE TABLE IF NOT EXISTS door_groups (
    acs_access_group_id text        COLLATE "C" PRIMARY KEY,
    acs_system_id       text        NOT NULL,
    acs_entrance_ids    text[]      NOT NULL DEFAULT '{}',
    missing             jsonb       NOT NULL DEFAULT '{}', -- those of them that Seam's last list lacked, and since when: not believed at once
    suspected_at        timestamptz,          -- since when it seems to open no door with mobile keys: not believed at once
    no_door_at          timestamptz,          -- since when it opens none
    asked_at            timestamptz,          -- when Seam last answered; null: it must be asked
    used_at             timestamptz NOT NULL  -- when a key last opened it
);
CREATE INDEX IF NOT EXISTS door_groups_system ON door_groups (acs_system_id);

-- Stays in house, or about to begin, that have a key and a door that may not open: [{"acs_access_group_id", "acs_entrance_id", "name",
-- "problem", "since"}].
CREATE TABLE IF NOT EXISTS door_risks (
    source         text        NOT NULL,
    reservation_id text        NOT NULL,
    doors          jsonb       NOT NULL,
    since          timestamptz NOT NULL,
    PRIMARY KEY (source, reservation_id),
    FOREIGN KEY (source, reservation_id) REFERENCES reservations ON DELETE CASCADE
);
-- Numbered like every change of a stay, but only while the stay has a key: the end of a stay ends this with it.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION door_risk_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    stay record;
BEGIN
    IF TG_OP = 'DELETE' THEN
        stay := OLD;
    ELSE
        stay := NEW;
    END IF;
    UPDATE mobile_keys SET sequence = sequence + 1
        WHERE source = stay.source AND reservation_id = stay.reservation_id AND status IN ('issued', 'active', 'attention');
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE OR REPLACE TRIGGER door_risk_changed AFTER INSERT OR UPDATE OR DELETE ON door_risks FOR EACH ROW EXECUTE FUNCTION door_risk_changed();

-- +goose Down
DROP TABLE IF EXISTS door_risks;
DROP TABLE IF EXISTS door_groups;
DROP TABLE IF EXISTS doors;
DROP FUNCTION IF EXISTS door_risk_changed();
