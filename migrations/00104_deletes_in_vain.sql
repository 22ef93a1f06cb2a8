-- +goose NO TRANSACTION
-- Deletes of an ACS user in a row that had no effect. They were counted with the repairs that Seam did not keep, so that
-- after such repairs the first delete could be reported as not removed. Old versions of the binary leave the column
-- alone.
-- +goose Up
ALTER TABLE acs_users ADD COLUMN IF NOT EXISTS deletes_in_vain smallint NOT NULL DEFAULT 0;
UPDATE acs_users SET deletes_in_vain = unkept
    WHERE deleted_at IS NOT NULL AND acs_user_id IS NOT NULL AND unkept > 0 AND deletes_in_vain = 0;

-- +goose Down
ALTER TABLE acs_users DROP COLUMN IF EXISTS deletes_in_vain;
