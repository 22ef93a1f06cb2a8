-- PINs that guests can use instead of their mobile key, on the same ACS users. The codes are sealed with a key that is
-- not in the database. Old versions of the binary leave the table alone.
-- +goose Up
CREATE TABLE backup_codes (
    user_row          bigint      PRIMARY KEY REFERENCES acs_users (id) ON DELETE CASCADE,
    source            text        NOT NULL,
    reservation_id    text        NOT NULL,
    acs_user_id       text        NOT NULL, -- at Seam: whose credential it is. The code is deleted with that ACS user
    key_id            text        NOT NULL DEFAULT '', -- the mobile key that it was made next to: it is replaced with it
    marked_at         timestamptz,          -- before the create
    lost_at           timestamptz,          -- the end of a create without an answer
    looks             smallint    NOT NULL DEFAULT 0, -- how often Seam was searched for what that create may have left
    acs_credential_id text,
    own               boolean     NOT NULL DEFAULT false, -- staykey made it
    sealed            bytea,                -- the code; null while Seam shows none
    code_at           timestamptz,          -- since when it is this code
    waiting           boolean     NOT NULL DEFAULT false, -- Seam has not issued it yet
    problem           text,                 -- why there is no code that opens doors, or Seam's error on it
    missing_at        timestamptz,          -- Seam did not show it once
    deleting_at       timestamptz,          -- it is being deleted
    surplus           text[]      NOT NULL DEFAULT '{}', -- further codes that a lost create left
    tries             integer     NOT NULL DEFAULT 0,    -- failed or fruitless ones in a row
    due_at            timestamptz           -- when to look at it again; null: when something changes
) WITH (fillfactor = 80);
CREATE INDEX backup_codes_stay ON backup_codes (source, reservation_id);
CREATE INDEX backup_codes_credential ON backup_codes (acs_credential_id) WHERE acs_credential_id IS NOT NULL;

-- A code that comes, changes or goes may change what is written into the PMS.
-- +goose StatementBegin
CREATE FUNCTION backup_code_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    code record;
BEGIN
    IF TG_OP = 'DELETE' THEN
        code := OLD;
    ELSE
        code := NEW;
    END IF;
    INSERT INTO stay_changes (source, reservation_id)
        SELECT code.source, code.reservation_id WHERE EXISTS (SELECT FROM write_back_sources w WHERE w.source = code.source);
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER backup_code_changed AFTER UPDATE ON backup_codes FOR EACH ROW
    WHEN ((OLD.acs_credential_id, OLD.code_at, OLD.waiting, OLD.problem, OLD.missing_at IS NULL, OLD.deleting_at IS NULL)
        IS DISTINCT FROM (NEW.acs_credential_id, NEW.code_at, NEW.waiting, NEW.problem, NEW.missing_at IS NULL, NEW.deleting_at IS NULL))
    EXECUTE FUNCTION backup_code_changed();
CREATE TRIGGER backup_code_gone AFTER DELETE ON backup_codes FOR EACH ROW EXECUTE FUNCTION backup_code_changed();

-- +goose Down
DROP TABLE backup_codes;
DROP FUNCTION backup_code_changed();
