-- +goose NO TRANSACTION
-- The confirmed stays whose check-in or check-out isn't known as an instant: local times without a time zone, or no dates at
-- all. No index on times has them. By the local dates that the PMS sent; a stay without a check-out isn't over. There are few, and
-- the columns of the condition are in other indexes, too.
-- +goose Up
CREATE INDEX CONCURRENTLY IF NOT EXISTS reservations_undated ON reservations
    ((coalesce(check_out_said, '9') COLLATE "C"), (coalesce(check_in_said, '') COLLATE "C"), source, reservation_id)
    WHERE status = 'confirmed' AND (check_in IS NULL OR check_out IS NULL);

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS reservations_undated;
