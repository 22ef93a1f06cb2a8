-- +goose NO TRANSACTION

-- Finds the notes that were written while a stay had a guest who is erased.
-- +goose Up
DROP INDEX CONCURRENTLY IF EXISTS stay_notes_guest;
CREATE INDEX CONCURRENTLY stay_notes_guest ON stay_notes (lower(guest_email));

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS stay_notes_guest;
