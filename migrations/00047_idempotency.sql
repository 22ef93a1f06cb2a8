-- +goose NO TRANSACTION
-- Changing requests with an Idempotency-Key, and their answers, for a day. Each statement can be repeated. Old versions ignore it.
-- +goose Up

-- Answers are kept without guests' data, links and sessions. A key is known by its HMAC, and so is what was requested with it.
CREATE TABLE IF NOT EXISTS idempotent_requests (
    request_key bytea       PRIMARY KEY,
    fingerprint bytea       NOT NULL, -- of method, path, query and body
    lease_token uuid,                 -- of the process that is doing it; null: it is done
    lease_until timestamptz,
    status      smallint,             -- of the answer; null: it is being done
    media_type  text,
    body        bytea,
    created_at  timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS idempotent_requests_age ON idempotent_requests (created_at);

-- Which request wrote an entry of the audit log: the entry is committed with the change, so that a request whose answer was lost is not done twice.
ALTER TABLE audit ADD COLUMN IF NOT EXISTS request_key bytea;
CREATE INDEX CONCURRENTLY IF NOT EXISTS audit_request_key ON audit (request_key) WHERE request_key IS NOT NULL;

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS audit_request_key;
ALTER TABLE audit DROP COLUMN IF EXISTS request_key;
DROP TABLE IF EXISTS idempotent_requests;
