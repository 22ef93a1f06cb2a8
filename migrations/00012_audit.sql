-- +goose Up

-- Who changed what: one row for each changing request, sign-in, sign-out, export and erasure, written in the transaction of the
-- change. It holds ids and settings, never a guest's data.
CREATE TABLE audit (
    audit_id   bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL,
    token      text        NOT NULL, -- the name of the token, "admin" for those of STAYKEY_ADMIN_TOKEN
    author     text        NOT NULL, -- who used it, as the timeline shows it
    via        text        NOT NULL, -- rest or page
    action     text        NOT NULL, -- such as put_listing
    source     text,                 -- null: it is not about one source
    subject    text,                 -- the id of the reservation, listing or event; null: none
    reason     text,
    before     jsonb,                -- what the change replaced, as far as it changed
    after      jsonb,
    request_id text,                 -- as in the log and in X-Request-Id
    address    text                  -- of the client
);
-- GET /v1/audit: newest first, whole and by source.
CREATE INDEX audit_source ON audit (source, audit_id DESC);
CREATE INDEX audit_at ON audit (at);

-- +goose Down
DROP TABLE audit;
