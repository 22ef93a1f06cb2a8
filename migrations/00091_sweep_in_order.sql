-- +goose NO TRANSACTION
-- The sweep read keys in the order of their identities' random ids, each from another page; it now reads them in the order
-- in which they were written. Older versions keep running.
-- +goose Up
CREATE INDEX CONCURRENTLY IF NOT EXISTS acs_users_in_order ON acs_users (acs_system_id, id) WHERE acs_user_id IS NOT NULL;

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS acs_users_in_order;
