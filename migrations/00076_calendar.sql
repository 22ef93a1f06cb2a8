-- +goose NO TRANSACTION
-- What the calendar reads: listings by name, and the confirmed stays of a listing by check-in. Stays of over a month, which are
-- few, are found apart, so that of all others only those that begin up to a month before the calendar are read.
-- +goose Up
CREATE INDEX CONCURRENTLY IF NOT EXISTS listings_name ON listings ((staykey_plain(coalesce(name, listing_id)) COLLATE "C"), source, listing_id)
    WHERE NOT deleted;
CREATE INDEX CONCURRENTLY IF NOT EXISTS reservations_calendar ON reservations (source, listing_id, check_in) WHERE status = 'confirmed';
CREATE INDEX CONCURRENTLY IF NOT EXISTS reservations_long ON reservations (source, listing_id, check_in)
    WHERE status = 'confirmed' AND check_out - check_in > interval '744 hours';

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS listings_name;
DROP INDEX CONCURRENTLY IF EXISTS reservations_calendar;
DROP INDEX CONCURRENTLY IF EXISTS reservations_long;
