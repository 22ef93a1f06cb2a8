-- When an event was queued last: on receipt, for a replay, or because its documents came. Its receipt may be days before
-- that, and doesn't show how long events wait to be applied. Older versions leave it to the default. Events that wait
-- during the migration count from then on.
-- +goose Up
ALTER TABLE event_queue ADD COLUMN queued_at timestamptz NOT NULL DEFAULT now();

-- +goose Down
ALTER TABLE event_queue DROP COLUMN queued_at;
