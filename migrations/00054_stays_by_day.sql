-- +goose NO TRANSACTION
-- The confirmed stays that last at a time, whenever they began: the day's arrivals, departures and guests in house, and the calendar.
-- Check-out before check-in is a mistake of the PMS that is stored all the same: such a stay lasts no time.
-- +goose Up
CREATE INDEX CONCURRENTLY IF NOT EXISTS reservations_span ON reservations
    USING gist (tstzrange(check_in, greatest(check_in, check_out), '[]'))
    WHERE status = 'confirmed' AND check_in IS NOT NULL AND check_out IS NOT NULL;

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS reservations_span;
