-- How many creates for attempt_generation Seam has answered with an earlier ACS user of the stay. After a few, a request
-- that wants the ACS user back is spent; attempts that failed for other reasons counted, too. Old versions of the binary
-- leave the column alone.
-- +goose Up
ALTER TABLE mobile_keys ADD COLUMN returned_creates smallint NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE mobile_keys DROP COLUMN returned_creates;
