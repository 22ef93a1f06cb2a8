-- When Seam first didn't find a removed ACS user that was looked for: one answer proves nothing.
-- +goose Up
ALTER TABLE removed_acs_users ADD COLUMN missing_at timestamptz;

-- +goose Down
ALTER TABLE removed_acs_users DROP COLUMN missing_at;
