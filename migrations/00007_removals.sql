-- What should be gone and is not: doors that may still open. Never many rows. Old versions may go on beside it.
-- +goose Up

-- The gauge staykey_removals_overdue and the log, every 15 seconds. The words of the condition are those of the statement.
CREATE INDEX mobile_keys_removals ON mobile_keys (source, reservation_id)
    WHERE status = 'revoking' OR (status = 'attention' AND (cancelled OR reason = 'not_removed'));

-- +goose Down
DROP INDEX mobile_keys_removals;
