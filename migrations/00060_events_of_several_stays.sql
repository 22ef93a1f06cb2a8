-- +goose NO TRANSACTION
-- Finds the events that are about a reservation besides others. Few events have several.
-- +goose Up
CREATE INDEX CONCURRENTLY IF NOT EXISTS event_results_also_about ON event_results USING gin (also_about) WHERE also_about IS NOT NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS event_fetches_about ON event_fetches USING gin (reservation_ids) WHERE reservation_ids IS NOT NULL;

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS event_fetches_about;
DROP INDEX CONCURRENTLY IF EXISTS event_results_also_about;
