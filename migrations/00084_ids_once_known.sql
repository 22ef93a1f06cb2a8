-- +goose NO TRANSACTION
-- Seam's ids are unique once they are known. Rows without one, which every row is at first, need no entry in their
-- indexes.
-- +goose Up
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS acs_users_known_id ON acs_users (acs_user_id) WHERE acs_user_id IS NOT NULL;
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS acs_users_known_credential ON acs_users (acs_credential_id)
    WHERE acs_credential_id IS NOT NULL;
-- Until both are valid, the constraints are what keeps the ids unique.
-- +goose StatementBegin
DO $$
BEGIN
    IF (SELECT count(*) FROM pg_index WHERE indrelid = 'acs_users'::regclass AND indisvalid
            AND indexrelid IN ('acs_users_known_id'::regclass, 'acs_users_known_credential'::regclass)) < 2 THEN
        RAISE EXCEPTION 'the new indexes of acs_users are not valid: drop acs_users_known_id and acs_users_known_credential, and migrate again';
    END IF;
    ALTER TABLE acs_users DROP CONSTRAINT IF EXISTS acs_users_acs_user_id_key, DROP CONSTRAINT IF EXISTS acs_users_acs_credential_id_key;
END
$$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conname = 'acs_users_acs_user_id_key') THEN
        ALTER TABLE acs_users ADD CONSTRAINT acs_users_acs_user_id_key UNIQUE (acs_user_id),
            ADD CONSTRAINT acs_users_acs_credential_id_key UNIQUE (acs_credential_id);
    END IF;
END
$$;
-- +goose StatementEnd
DROP INDEX CONCURRENTLY IF EXISTS acs_users_known_id;
DROP INDEX CONCURRENTLY IF EXISTS acs_users_known_credential;
