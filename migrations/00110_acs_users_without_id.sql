-- +goose NO TRANSACTION
-- The states of an ACS user that were added since 00008 become checkable, too (internal/provisioner/record names them): an
-- ACS user without an id has nothing that only one with an id can have, and the create of a mobile key can only be lost
-- if it was marked before. Old versions of the binary write no other rows.
-- +goose Up

-- Rows that no version of the service should have left, so that the constraint below can hold for all. A thousand rows
-- per transaction.
-- +goose StatementBegin
CREATE OR REPLACE PROCEDURE correct_acs_users() LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
BEGIN
    LOOP
        UPDATE acs_users SET
                contested_at = CASE WHEN acs_user_id IS NOT NULL THEN contested_at END,
                delete_lost_at = CASE WHEN acs_user_id IS NOT NULL THEN delete_lost_at END,
                deletes_in_vain = CASE WHEN acs_user_id IS NOT NULL THEN greatest(deletes_in_vain, 0) ELSE 0 END,
                drift = CASE WHEN acs_user_id IS NOT NULL THEN drift END,
                credential_marked_at = CASE WHEN acs_user_id IS NOT NULL THEN coalesce(credential_marked_at, credential_lost_at) END,
                credential_lost_at = CASE WHEN acs_user_id IS NOT NULL THEN credential_lost_at END,
                credential_problem = CASE WHEN acs_user_id IS NOT NULL THEN credential_problem END
            WHERE id IN (
                SELECT id FROM acs_users
                WHERE deletes_in_vain < 0 OR credential_lost_at IS NOT NULL AND credential_marked_at IS NULL
                    OR acs_user_id IS NULL AND (contested_at IS NOT NULL OR delete_lost_at IS NOT NULL OR deletes_in_vain <> 0
                        OR drift IS NOT NULL OR credential_marked_at IS NOT NULL OR credential_lost_at IS NOT NULL
                        OR credential_problem IS NOT NULL)
                LIMIT 1000);
        GET DIAGNOSTICS n = ROW_COUNT;
        COMMIT;
        EXIT WHEN n = 0;
    END LOOP;
END
$$;
-- +goose StatementEnd
CALL correct_acs_users();

-- First for new rows, which takes a moment; then old rows are read without keeping anybody from writing.
-- +goose StatementBegin
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conname = 'acs_users_later_state' AND conrelid = 'acs_users'::regclass) THEN
        ALTER TABLE acs_users ADD CONSTRAINT acs_users_later_state CHECK (
            deletes_in_vain >= 0
            AND (credential_lost_at IS NULL OR credential_marked_at IS NOT NULL)
            AND (acs_user_id IS NOT NULL OR (contested_at IS NULL AND delete_lost_at IS NULL AND deletes_in_vain = 0
                AND drift IS NULL AND credential_marked_at IS NULL AND credential_problem IS NULL))) NOT VALID;
    END IF;
END
$$;
-- +goose StatementEnd
CALL correct_acs_users(); -- those that were written in between
ALTER TABLE acs_users VALIDATE CONSTRAINT acs_users_later_state;
DROP PROCEDURE correct_acs_users();

-- +goose Down
ALTER TABLE acs_users DROP CONSTRAINT IF EXISTS acs_users_later_state;
