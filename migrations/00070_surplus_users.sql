-- ACS users that a lost create left in addition to the recorded one, until Seam no longer has them: a list of objects
-- with id, deleted_at, missing_at and tries. Old versions of the binary leave the column alone.
-- +goose Up
ALTER TABLE acs_users ADD COLUMN surplus jsonb NOT NULL DEFAULT '[]';

-- +goose Down
ALTER TABLE acs_users DROP COLUMN surplus;
