-- +goose NO TRANSACTION
-- Numbers what subscribers can see of a stay, and keeps the order in which stays changed. Triggers do both, so that
-- no writer can forget it: a change and its number are in one commit. Old versions of the binary may run at the same
-- time; their changes count too. Each statement locks one table and can be repeated.
-- +goose Up

-- Rises with every change of status, reason, window, doors, listing or credential.
ALTER TABLE mobile_keys ADD COLUMN IF NOT EXISTS sequence bigint NOT NULL DEFAULT 1;

-- Stays that have changed, appended in the commit of the change. Moved to stay_positions, so it is normally empty.
CREATE TABLE IF NOT EXISTS stay_changes (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source         text   NOT NULL,
    reservation_id text   NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- One row per stay that has changed, in the order of its last change. One process at a time assigns positions, and
-- commits before the next one does: a reader who is past a position can't miss an earlier one that becomes visible
-- later.
CREATE SEQUENCE IF NOT EXISTS stay_order;
CREATE TABLE IF NOT EXISTS stay_positions (
    source         text   NOT NULL,
    reservation_id text   NOT NULL,
    position       bigint NOT NULL,
    PRIMARY KEY (source, reservation_id),
    FOREIGN KEY (source, reservation_id) REFERENCES reservations ON DELETE CASCADE
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
CREATE UNIQUE INDEX IF NOT EXISTS stay_positions_order ON stay_positions (position);

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION key_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.sequence = OLD.sequence THEN
        -- By two, because one change may need two messages: that attention is no longer needed, and the new state.
        NEW.sequence := OLD.sequence + 2;
    END IF;
    INSERT INTO stay_changes (source, reservation_id) VALUES (NEW.source, NEW.reservation_id);
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE OR REPLACE TRIGGER key_changed BEFORE UPDATE ON mobile_keys FOR EACH ROW
    WHEN ((OLD.status, OLD.reason) IS DISTINCT FROM (NEW.status, NEW.reason) OR OLD.sequence <> NEW.sequence)
    EXECUTE FUNCTION key_changed();

-- Something that belongs to a stay changed. While its key is being created or changed nothing is reported; the end of
-- that is a change of status. Wherever an ACS user is written, the key is already locked, and after the reservation:
-- the order of locks is kept.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION stay_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    stay record;
BEGIN
    IF TG_OP = 'DELETE' THEN
        stay := OLD;
    ELSE
        stay := NEW;
    END IF;
    UPDATE mobile_keys SET sequence = sequence + 2
        WHERE source = stay.source AND reservation_id = stay.reservation_id AND status IN ('issued', 'active', 'attention');
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE OR REPLACE TRIGGER stay_changed AFTER UPDATE ON reservations FOR EACH ROW
    WHEN ((OLD.status, OLD.listing_id) IS DISTINCT FROM (NEW.status, NEW.listing_id)) EXECUTE FUNCTION stay_changed();
CREATE OR REPLACE TRIGGER stay_changed AFTER UPDATE ON acs_users FOR EACH ROW
    WHEN ((OLD.acs_user_id, OLD.acs_credential_id, OLD.starts_at, OLD.ends_at, OLD.acs_access_group_ids, OLD.removed_at IS NULL, OLD.deleted_at IS NULL)
        IS DISTINCT FROM
        (NEW.acs_user_id, NEW.acs_credential_id, NEW.starts_at, NEW.ends_at, NEW.acs_access_group_ids, NEW.removed_at IS NULL, NEW.deleted_at IS NULL))
    EXECUTE FUNCTION stay_changed();
CREATE OR REPLACE TRIGGER stay_came_or_went AFTER INSERT OR DELETE ON acs_users FOR EACH ROW EXECUTE FUNCTION stay_changed();

-- Stays that are not over yet, for subscriptions that will be added. After the triggers: later changes are in
-- stay_changes.
INSERT INTO stay_positions (source, reservation_id, position)
    SELECT source, reservation_id, nextval('stay_order') FROM mobile_keys WHERE status NOT IN ('revoked', 'expired')
    ON CONFLICT DO NOTHING;

-- +goose Down
DROP TRIGGER IF EXISTS stay_came_or_went ON acs_users;
DROP TRIGGER IF EXISTS stay_changed ON acs_users;
DROP TRIGGER IF EXISTS stay_changed ON reservations;
DROP TRIGGER IF EXISTS key_changed ON mobile_keys;
DROP FUNCTION IF EXISTS stay_changed(), key_changed();
DROP TABLE IF EXISTS stay_positions, stay_changes;
DROP SEQUENCE IF EXISTS stay_order;
ALTER TABLE mobile_keys DROP COLUMN IF EXISTS sequence;
