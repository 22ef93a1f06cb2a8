-- +goose NO TRANSACTION
-- A subscription's deliveries, newest first. The index that this replaces had all deliveries in the order in which lists by
-- kind have them too: the planner walked it and left out nearly every row, where a kind was rarer than it thought. This one
-- is in the order of seq itself, which lists by kind don't ask for. Older versions, until they are replaced, sort to list
-- the deliveries of all subscriptions.
-- +goose Up
CREATE INDEX CONCURRENTLY IF NOT EXISTS deliveries_subscription ON deliveries (subscription, seq);
DROP INDEX CONCURRENTLY IF EXISTS deliveries_order;

-- +goose Down
CREATE INDEX CONCURRENTLY IF NOT EXISTS deliveries_order ON deliveries ((-seq));
DROP INDEX CONCURRENTLY IF EXISTS deliveries_subscription;
