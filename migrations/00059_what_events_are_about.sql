-- +goose NO TRANSACTION
-- Times of receipt are distinguished from times of the PMS, and events are found by every reservation that they are about, also while they wait
-- for documents. Old versions may run at the same time: they leave the columns null, or, in a reservation that they change, a time of
-- receipt that is no longer its version's, which then doesn't count. Each statement locks one table and can be repeated.
-- +goose Up

-- The version's time, if it is the time of receipt of an event that had none of its own; another time, or null: the PMS's.
ALTER TABLE reservations ADD COLUMN IF NOT EXISTS version_receipt timestamptz;

-- The reservations that an event that waits for documents is about, as far as its webhook names them.
ALTER TABLE event_fetches ADD COLUMN IF NOT EXISTS reservation_ids text[];

-- The reservations that an event is about besides reservation_id, which is the first; null for none.
ALTER TABLE event_results ADD COLUMN IF NOT EXISTS also_about text[];

-- +goose Down
ALTER TABLE event_results DROP COLUMN IF EXISTS also_about;
ALTER TABLE event_fetches DROP COLUMN IF EXISTS reservation_ids;
ALTER TABLE reservations DROP COLUMN IF EXISTS version_receipt;
