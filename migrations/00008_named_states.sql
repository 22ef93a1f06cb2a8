-- +goose NO TRANSACTION
-- The states of an ACS user and its mobile key become checkable, and what Seam doesn't report gets a column of its own. Old versions of the
-- service may run at the same time: they leave the new columns at their defaults. Each statement locks one table and can be repeated, so no
-- lock is held for long, and a migration that is interrupted continues where it stopped.
-- +goose Up

ALTER TABLE acs_users
    ADD COLUMN IF NOT EXISTS missing_at            timestamptz,                     -- Seam did not show the ACS user once; believed when it happens again after the grace
    ADD COLUMN IF NOT EXISTS credential_missing_at timestamptz,                     -- the same for the mobile key
    ADD COLUMN IF NOT EXISTS doors_read            boolean  NOT NULL DEFAULT true,  -- its access groups were read back since they were last changed
    ADD COLUMN IF NOT EXISTS unkept                smallint NOT NULL DEFAULT 0;     -- repairs in a row after which Seam had something else again

-- Rows that no version of the service should have left, so that the constraint below can hold for all. A thousand rows per transaction.
-- +goose StatementBegin
CREATE OR REPLACE PROCEDURE correct_acs_users() LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
BEGIN
    LOOP
        UPDATE acs_users SET
                removed_at = CASE WHEN acs_user_id IS NOT NULL THEN removed_at END,
                suspended_at = CASE WHEN acs_user_id IS NOT NULL THEN suspended_at END,
                acs_credential_id = CASE WHEN acs_user_id IS NOT NULL THEN acs_credential_id END,
                unsure = unsure AND acs_user_id IS NOT NULL,
                made_at = CASE WHEN acs_user_id IS NOT NULL THEN coalesce(made_at, marked_at, changed_at, now()) END,
                marked_at = coalesce(marked_at, lost_at)
            WHERE id IN (
                SELECT id FROM acs_users
                WHERE (acs_user_id IS NULL AND (removed_at IS NOT NULL OR suspended_at IS NOT NULL OR acs_credential_id IS NOT NULL OR unsure OR made_at IS NOT NULL))
                    OR (acs_user_id IS NOT NULL AND made_at IS NULL) OR (lost_at IS NOT NULL AND marked_at IS NULL)
                LIMIT 1000);
        GET DIAGNOSTICS n = ROW_COUNT;
        COMMIT;
        EXIT WHEN n = 0;
    END LOOP;
END
$$;
-- +goose StatementEnd
CALL correct_acs_users();

-- What the states have in common; internal/provisioner/record names them. An ACS user without an id has nothing that only one with an
-- id can have, and a create can only be lost that was marked before. First for new rows, which takes a moment; then old rows are read
-- without keeping anybody from writing.
-- +goose StatementBegin
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conname = 'acs_users_state' AND conrelid = 'acs_users'::regclass) THEN
        ALTER TABLE acs_users ADD CONSTRAINT acs_users_state CHECK (
            (acs_user_id IS NULL) = (made_at IS NULL)
            AND (acs_user_id IS NOT NULL OR (removed_at IS NULL AND suspended_at IS NULL AND missing_at IS NULL AND acs_credential_id IS NULL AND NOT unsure))
            AND (lost_at IS NULL OR marked_at IS NOT NULL)
            AND (acs_credential_id IS NOT NULL OR credential_missing_at IS NULL)
            AND unkept >= 0) NOT VALID;
    END IF;
END
$$;
-- +goose StatementEnd
CALL correct_acs_users(); -- those of an old version that were written in between
ALTER TABLE acs_users VALIDATE CONSTRAINT acs_users_state;
DROP PROCEDURE correct_acs_users();

-- The guest's identity is being erased since then: no stay may take it meanwhile.
ALTER TABLE user_identities ADD COLUMN IF NOT EXISTS erasing_at timestamptz;

-- When the stay is over, as of the last attempt: what is due after that is cleaning up, and goes last. Null: not known yet.
ALTER TABLE mobile_keys ADD COLUMN IF NOT EXISTS over_at timestamptz;

-- Which access system each access group is on. Groups never move, so that a restart need not ask Seam again.
CREATE TABLE IF NOT EXISTS access_groups (
    acs_access_group_id text        PRIMARY KEY,
    acs_system_id       text        NOT NULL,
    seen_at             timestamptz NOT NULL
);

-- +goose Down
DROP TABLE IF EXISTS access_groups;
ALTER TABLE mobile_keys DROP COLUMN IF EXISTS over_at;
ALTER TABLE user_identities DROP COLUMN IF EXISTS erasing_at;
ALTER TABLE acs_users DROP CONSTRAINT IF EXISTS acs_users_state, DROP COLUMN IF EXISTS missing_at, DROP COLUMN IF EXISTS credential_missing_at,
    DROP COLUMN IF EXISTS doors_read, DROP COLUMN IF EXISTS unkept;
