-- ACS users of other people that Seam showed where the stay's own should be: they are reported once and left unchanged.
-- Old versions of the binary leave the column alone.
-- +goose Up
ALTER TABLE acs_users ADD COLUMN others text[] NOT NULL DEFAULT '{}';

-- +goose Down
ALTER TABLE acs_users DROP COLUMN others;
