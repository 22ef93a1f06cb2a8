-- What should be gone and is not, and what Seam says is wrong with a mobile key. Old versions may go on beside it.
-- +goose Up

-- Never many rows. The gauge staykey_removals_overdue and the log, every 15 seconds. The words of the condition are those of the statement.
CREATE INDEX mobile_keys_removals ON mobile_keys (source, reservation_id)
    WHERE status = 'revoking' OR (status = 'attention' AND (cancelled OR reason = 'not_removed'));

-- The code of an error that Seam reports on the mobile key; null for none. problem is the ACS user's.
ALTER TABLE acs_users ADD COLUMN credential_problem text;

-- +goose Down
ALTER TABLE acs_users DROP COLUMN credential_problem;
DROP INDEX mobile_keys_removals;
