-- The language of a guest, where the PMS says it: the guest's page is in it. Old versions of the binary leave it alone, and keep what is there.
-- +goose Up
ALTER TABLE reservations ADD COLUMN IF NOT EXISTS guest_language text; -- a BCP 47 tag; null: not known

-- +goose Down
ALTER TABLE reservations DROP COLUMN IF EXISTS guest_language;
