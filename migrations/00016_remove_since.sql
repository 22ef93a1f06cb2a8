-- +goose NO TRANSACTION
-- When a key became unwanted. A PMS that repeats a cancel must not make it look more recent. A trigger keeps it, so
-- that it is right no matter what writes the status, old versions included. Each statement can be repeated.
-- +goose Up
ALTER TABLE mobile_keys ADD COLUMN IF NOT EXISTS remove_since timestamptz; -- null: nothing needs removing
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION note_removal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status = 'revoking' OR (NEW.status = 'attention' AND (NEW.cancelled OR NEW.reason = 'not_removed')) THEN
        NEW.remove_since := coalesce(NEW.remove_since, NEW.changed_at);
    ELSE
        NEW.remove_since := NULL;
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE OR REPLACE TRIGGER note_removal_new BEFORE INSERT ON mobile_keys FOR EACH ROW WHEN (NEW.status IN ('revoking', 'attention')) EXECUTE FUNCTION note_removal();
CREATE OR REPLACE TRIGGER note_removal BEFORE UPDATE ON mobile_keys FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status OR OLD.reason IS DISTINCT FROM NEW.reason OR OLD.cancelled IS DISTINCT FROM NEW.cancelled) EXECUTE FUNCTION note_removal();
UPDATE mobile_keys SET remove_since = changed_at
    WHERE remove_since IS NULL AND (status = 'revoking' OR (status = 'attention' AND (cancelled OR reason = 'not_removed')));
-- +goose Down
DROP TRIGGER IF EXISTS note_removal ON mobile_keys;
DROP TRIGGER IF EXISTS note_removal_new ON mobile_keys;
DROP FUNCTION IF EXISTS note_removal();
ALTER TABLE mobile_keys DROP COLUMN IF EXISTS remove_since;
