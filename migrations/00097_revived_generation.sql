-- The desired state that an ACS user was last created or unsuspended for. One request brings back what somebody removed
-- at Seam once: an ACS user that is gone again, for the same request, would be created without end.
-- Old versions of the binary leave the column alone.
-- +goose Up
ALTER TABLE acs_users ADD COLUMN revived_generation bigint NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE acs_users DROP COLUMN revived_generation;
