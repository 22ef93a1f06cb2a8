-- Keys that should be gone and are not, and what Seam reports as wrong with a mobile key. Old versions may run at the
-- same time.
-- +goose Up

-- Never many rows. Read every 15 seconds, for the gauge staykey_removals_overdue and the log. The condition must
-- match the statement's.
CREATE INDEX mobile_keys_removals ON mobile_keys (source, reservation_id)
    WHERE status = 'revoking' OR (status = 'attention' AND (cancelled OR reason = 'not_removed'));

-- The code of an error that Seam reports on the mobile key; null: none. problem is the ACS user's.
ALTER TABLE acs_users ADD COLUMN credential_problem text;

-- +goose Down
ALTER TABLE acs_users DROP COLUMN credential_problem;
DROP INDEX mobile_keys_removals;
