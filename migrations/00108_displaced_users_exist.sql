-- The sequence of a stay also rises when an ACS user that was displaced is gone from Seam: events out and REST show it
-- until then.
-- +goose Up
CREATE OR REPLACE TRIGGER stay_changed AFTER UPDATE ON acs_users FOR EACH ROW
    WHEN ((OLD.acs_user_id, OLD.acs_credential_id, OLD.starts_at, OLD.ends_at, OLD.acs_access_group_ids, OLD.removed_at IS NULL, OLD.removed_at IS NULL OR OLD.contested_at IS NOT NULL, OLD.deleted_at IS NULL)
        IS DISTINCT FROM
        (NEW.acs_user_id, NEW.acs_credential_id, NEW.starts_at, NEW.ends_at, NEW.acs_access_group_ids, NEW.removed_at IS NULL, NEW.removed_at IS NULL OR NEW.contested_at IS NOT NULL, NEW.deleted_at IS NULL))
    EXECUTE FUNCTION stay_changed();

-- +goose Down
CREATE OR REPLACE TRIGGER stay_changed AFTER UPDATE ON acs_users FOR EACH ROW
    WHEN ((OLD.acs_user_id, OLD.acs_credential_id, OLD.starts_at, OLD.ends_at, OLD.acs_access_group_ids, OLD.removed_at IS NULL, OLD.deleted_at IS NULL)
        IS DISTINCT FROM
        (NEW.acs_user_id, NEW.acs_credential_id, NEW.starts_at, NEW.ends_at, NEW.acs_access_group_ids, NEW.removed_at IS NULL, NEW.deleted_at IS NULL))
    EXECUTE FUNCTION stay_changed();
