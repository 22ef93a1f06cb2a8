-- Repairs in a row that Seam did not keep, by the part of the ACS user: one door that Seam's lists leave out must not
-- delay the repair of the hours or of the mobile key. The column unkept has the highest of them. Old versions of the
-- binary leave the column alone.
-- +goose Up
ALTER TABLE acs_users ADD COLUMN unkept_by jsonb NOT NULL DEFAULT '{}';

-- +goose Down
ALTER TABLE acs_users DROP COLUMN unkept_by;
