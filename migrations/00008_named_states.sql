-- The states of an ACS user and its mobile key become checkable, and what Seam leaves unknown gets a place of its own. Old
-- versions of the service may run beside it: they leave the new columns at their defaults.
-- +goose Up

ALTER TABLE acs_users
    ADD COLUMN missing_at            timestamptz,                     -- Seam did not show the ACS user once; believed when it happens again after the grace
    ADD COLUMN credential_missing_at timestamptz,                     -- the same for the mobile key
    ADD COLUMN doors_read            boolean  NOT NULL DEFAULT true,  -- its access groups were read back since they were last changed
    ADD COLUMN unkept                smallint NOT NULL DEFAULT 0;     -- repairs in a row after which Seam had something else again

-- Rows that no version of the service should have left, so that the constraint below can hold for all.
UPDATE acs_users SET removed_at = NULL, suspended_at = NULL, acs_credential_id = NULL, unsure = false, made_at = NULL
    WHERE acs_user_id IS NULL AND (removed_at IS NOT NULL OR suspended_at IS NOT NULL OR acs_credential_id IS NOT NULL OR unsure OR made_at IS NOT NULL);
UPDATE acs_users SET made_at = coalesce(marked_at, changed_at, now()) WHERE acs_user_id IS NOT NULL AND made_at IS NULL;
UPDATE acs_users SET marked_at = lost_at WHERE lost_at IS NOT NULL AND marked_at IS NULL;

-- What the states have in common; internal/provisioner/record names them. An ACS user without an id has nothing that only one with an
-- id can have, and a create can only be lost that was marked before.
ALTER TABLE acs_users ADD CONSTRAINT acs_users_state CHECK (
    (acs_user_id IS NULL) = (made_at IS NULL)
    AND (acs_user_id IS NOT NULL OR (removed_at IS NULL AND suspended_at IS NULL AND missing_at IS NULL AND acs_credential_id IS NULL AND NOT unsure))
    AND (lost_at IS NULL OR marked_at IS NOT NULL)
    AND (acs_credential_id IS NOT NULL OR credential_missing_at IS NULL)
    AND unkept >= 0);

-- The guest's identity is being erased since then: no stay may take it meanwhile.
ALTER TABLE user_identities ADD COLUMN erasing_at timestamptz;

-- When the stay is over, as of the last attempt: what is due after that is cleaning up, and goes last. Null: not known yet.
ALTER TABLE mobile_keys ADD COLUMN over_at timestamptz;

-- Which access system each access group is on. Groups never move, so that a restart need not ask Seam again.
CREATE TABLE access_groups (
    acs_access_group_id text        PRIMARY KEY,
    acs_system_id       text        NOT NULL,
    seen_at             timestamptz NOT NULL
);

-- +goose Down
DROP TABLE access_groups;
ALTER TABLE mobile_keys DROP COLUMN over_at;
ALTER TABLE user_identities DROP COLUMN erasing_at;
ALTER TABLE acs_users DROP CONSTRAINT acs_users_state, DROP COLUMN missing_at, DROP COLUMN credential_missing_at, DROP COLUMN doors_read, DROP COLUMN unkept;
