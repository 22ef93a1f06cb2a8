-- Stays that move to their next room at a known time. Few rows.
-- +goose NO TRANSACTION
-- +goose Up
CREATE INDEX CONCURRENTLY IF NOT EXISTS reservations_segment_due ON reservations (segment_due) WHERE segment_due IS NOT NULL;

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS reservations_segment_due;
