-- +goose NO TRANSACTION
-- Stays of several rooms whose present room is not assigned: they follow the listings of their other rooms.
-- +goose Up
CREATE INDEX CONCURRENTLY IF NOT EXISTS reservations_unassigned ON reservations (source) WHERE listing_id IS NULL AND segments IS NOT NULL;

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS reservations_unassigned;
