-- The desired state for which a request has last repaired what Seam had not kept before. One request does so once. It
-- was recorded in revived_generation, so that a request that had repaired a door restored nothing else, and the other
-- way round. Old versions of the binary leave the column alone.
-- +goose Up
ALTER TABLE acs_users ADD COLUMN repaired_generation bigint NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE acs_users DROP COLUMN repaired_generation;
