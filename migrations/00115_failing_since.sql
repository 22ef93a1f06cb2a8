-- Since when Seam has given no usable answer for a key, and how often in a row: a few lost calls among many are no reason
-- for attention, and a rate limit that lasts for hours is one.
-- +goose Up
ALTER TABLE mobile_keys ADD COLUMN failing_since timestamptz, ADD COLUMN failures smallint NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE mobile_keys DROP COLUMN failing_since, DROP COLUMN failures;
