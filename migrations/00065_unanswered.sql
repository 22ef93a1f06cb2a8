-- Whether a receiver that fails answers at all. If it doesn't, that is not for a message: then fewer wait for another
-- try. Old versions of the binary leave it alone.
-- +goose Up
ALTER TABLE subscriptions ADD COLUMN unanswered boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE subscriptions DROP COLUMN unanswered;
