-- Outbound events: what each subscription has been sent about each stay, its deliveries and their attempts. Old
-- versions of the binary leave it alone.
-- +goose Up

-- A subscription of the configuration: how far it is, and how its receiver is doing.
CREATE TABLE subscriptions (
    name            text        PRIMARY KEY,
    position        bigint      NOT NULL DEFAULT 0, -- stays that changed up to there have rows in subscription_stays, or need none
    made_at_order   bigint      NOT NULL,           -- stay_order when it was added: stays that were already over are not reported
    disabled_at     timestamptz,                    -- nothing is sent while it is set
    disabled_by     text,
    disabled_why    text,
    failures        integer     NOT NULL DEFAULT 0, -- since the last success
    failing_since   timestamptz,                    -- the first of them
    not_before      timestamptz,                    -- the receiver asked to be left alone until then
    last_success_at timestamptz,
    last_failure_at timestamptz,
    last_error      text,
    digest_due_at   timestamptz,                    -- the next daily digest; null: none is sent
    digest_tries    integer     NOT NULL DEFAULT 0,
    seen_at         timestamptz NOT NULL,           -- when it was last in the configuration
    created_at      timestamptz NOT NULL
) WITH (fillfactor = 50);

-- What a subscription has been sent about a stay. A row exists from the first change that the subscription takes up.
CREATE TABLE subscription_stays (
    source         text        NOT NULL,
    reservation_id text        NOT NULL,
    subscription   text        NOT NULL REFERENCES subscriptions ON DELETE CASCADE,
    told_sequence  bigint      NOT NULL DEFAULT 0,
    told           jsonb,                          -- the state that was delivered last; null: none
    perhaps_told   jsonb       NOT NULL DEFAULT '[]', -- states that were sent since, without an answer that confirms them
    due_at         timestamptz,                    -- when to look, or to try again; null: nothing is due
    tries          integer     NOT NULL DEFAULT 0, -- failed ones since the last success
    delivery_id    uuid,                           -- the last message
    again          boolean     NOT NULL DEFAULT false, -- a person asked to send it again
    lease_token    uuid,
    lease_until    timestamptz,
    PRIMARY KEY (source, reservation_id, subscription),
    FOREIGN KEY (source, reservation_id) REFERENCES reservations ON DELETE CASCADE
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX subscription_stays_due ON subscription_stays (subscription, due_at) WHERE due_at IS NOT NULL;

-- One message: its id is the webhook-id, and identifies one body. Nothing in it identifies a guest.
CREATE TABLE deliveries (
    delivery_id     uuid        PRIMARY KEY,
    seq             bigint      GENERATED ALWAYS AS IDENTITY,
    subscription    text        NOT NULL,
    type            text        NOT NULL,
    source          text        NOT NULL,           -- '' for a test or a digest, which are not about a stay
    reservation_id  text        NOT NULL,
    sequence        bigint      NOT NULL,
    status          text        NOT NULL CHECK (status IN ('waiting', 'delivered', 'dropped')),
    reason          text,                           -- why it was dropped
    attempts        integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    body            bytea       NOT NULL,
    created_at      timestamptz NOT NULL,
    finished_at     timestamptz
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
-- Lists, newest first, narrowed by any of these; merged as for events.
CREATE INDEX deliveries_kind ON deliveries (source, subscription, status, type, (-seq));
CREATE INDEX deliveries_order ON deliveries ((-seq));
CREATE INDEX deliveries_stay ON deliveries (reservation_id, (-seq));
CREATE INDEX deliveries_age ON deliveries (created_at);

CREATE TABLE delivery_attempts (
    delivery_id uuid        NOT NULL REFERENCES deliveries ON DELETE CASCADE,
    attempt     integer     NOT NULL,
    at          timestamptz NOT NULL,
    duration_ms integer     NOT NULL,
    status_code integer     NOT NULL, -- 0: no answer
    error       text,
    answer      text,                 -- the beginning of the answer's body
    PRIMARY KEY (delivery_id, attempt)
);

-- +goose Down
DROP TABLE delivery_attempts, deliveries, subscription_stays, subscriptions;
