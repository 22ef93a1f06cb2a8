-- +goose NO TRANSACTION
-- When the answer to the last delete of an ACS user was lost, although Seam still shows it: the delete may take effect
-- minutes later, and must not pass for somebody else's. Older versions, until they are replaced, leave it alone.
-- +goose Up
ALTER TABLE acs_users ADD COLUMN IF NOT EXISTS delete_lost_at timestamptz;

-- +goose Down
ALTER TABLE acs_users DROP COLUMN IF EXISTS delete_lost_at;
