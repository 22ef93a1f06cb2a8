-- +goose NO TRANSACTION
-- The list of undated stays in its two orders, by their keys, which have the times of the stay. Most of them have no check-in, and come in
-- the order of their names then.
-- +goose Up
CREATE INDEX CONCURRENTLY IF NOT EXISTS mobile_keys_undated_recent ON mobile_keys ((changed_at AT TIME ZONE 'UTC') DESC, source, reservation_id)
    WHERE NOT cancelled AND (check_in IS NULL OR check_out IS NULL);
CREATE INDEX CONCURRENTLY IF NOT EXISTS mobile_keys_undated_check_in ON mobile_keys ((coalesce(check_in, 'infinity')), source, reservation_id)
    WHERE NOT cancelled AND (check_in IS NULL OR check_out IS NULL);

-- Open pages show a note that somebody else has written.
CREATE OR REPLACE TRIGGER note_change AFTER INSERT OR DELETE ON stay_notes FOR EACH STATEMENT EXECUTE FUNCTION note_change();

-- +goose Down
DROP TRIGGER IF EXISTS note_change ON stay_notes;
DROP INDEX CONCURRENTLY IF EXISTS mobile_keys_undated_recent;
DROP INDEX CONCURRENTLY IF EXISTS mobile_keys_undated_check_in;
