-- +goose NO TRANSACTION
-- For lists by check-out and in the order of check-in. Keys carry the check-out, as they carry the check-in, so that an index answers alone.
-- Triggers keep it, so that it is right whatever writes it, old versions included. Each statement locks one table and can be repeated.
-- +goose Up

ALTER TABLE mobile_keys
    ADD COLUMN IF NOT EXISTS check_out       timestamptz,                -- of the reservation
    ADD COLUMN IF NOT EXISTS check_out_month integer NOT NULL DEFAULT 0, -- in UTC, counted from year 0; 0: no check-out
    ADD COLUMN IF NOT EXISTS moved_by        xid8;                       -- the transaction that last changed check_in: a list in that order, once begun, leaves it out

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION key_listed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.check_out := (SELECT check_out FROM reservations WHERE source = NEW.source AND reservation_id = NEW.reservation_id);
    ELSIF OLD.check_in IS DISTINCT FROM NEW.check_in THEN
        NEW.moved_by := pg_current_xact_id();
    END IF;
    NEW.check_out_month := coalesce((extract(year FROM NEW.check_out AT TIME ZONE 'UTC') * 12 + extract(month FROM NEW.check_out AT TIME ZONE 'UTC'))::integer, 0);
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE OR REPLACE TRIGGER key_listed_new BEFORE INSERT ON mobile_keys FOR EACH ROW EXECUTE FUNCTION key_listed();
CREATE OR REPLACE TRIGGER key_listed BEFORE UPDATE ON mobile_keys FOR EACH ROW
    WHEN ((OLD.check_in, OLD.check_out) IS DISTINCT FROM (NEW.check_in, NEW.check_out)) EXECUTE FUNCTION key_listed();

-- After the reservation and before anything else of the stay is locked: the order of locks stays.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION check_out_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE mobile_keys SET check_out = NEW.check_out WHERE source = NEW.source AND reservation_id = NEW.reservation_id;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE OR REPLACE TRIGGER check_out_changed AFTER UPDATE ON reservations FOR EACH ROW
    WHEN (OLD.check_out IS DISTINCT FROM NEW.check_out) EXECUTE FUNCTION check_out_changed();

-- Keys from before, in steps that lock few rows each.
-- +goose StatementBegin
DO $$
DECLARE
    at_source text := '';
    at_id     text := '';
BEGIN
    LOOP
        WITH step AS MATERIALIZED (
            SELECT source, reservation_id FROM mobile_keys WHERE (source, reservation_id) > (at_source, at_id) ORDER BY source, reservation_id LIMIT 2000
        ), filled AS (
            UPDATE mobile_keys k SET check_out = r.check_out FROM step s JOIN reservations r USING (source, reservation_id)
            WHERE k.source = s.source AND k.reservation_id = s.reservation_id AND k.check_out IS DISTINCT FROM r.check_out
        )
        SELECT source, reservation_id INTO at_source, at_id FROM step ORDER BY source DESC, reservation_id DESC LIMIT 1;
        EXIT WHEN NOT FOUND;
        COMMIT;
    END LOOP;
END
$$;
-- +goose StatementEnd

-- Filters check_out_from and check_out_to, newest change first.
CREATE INDEX CONCURRENTLY IF NOT EXISTS mobile_keys_check_out
    ON mobile_keys (source, cancelled, status, check_out_month, changed_at DESC, reservation_id) INCLUDE (check_in, check_out);
-- The order of check-in, with any filter. Stays whose check-in is not known come last.
CREATE INDEX CONCURRENTLY IF NOT EXISTS mobile_keys_check_in
    ON mobile_keys (source, cancelled, status, check_out_month, (coalesce(check_in, 'infinity')), reservation_id) INCLUDE (check_in, check_out, changed_at);
-- The time zones that listings have.
CREATE INDEX CONCURRENTLY IF NOT EXISTS listings_time_zone ON listings (time_zone) WHERE time_zone IS NOT NULL;

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS mobile_keys_check_out;
DROP INDEX CONCURRENTLY IF EXISTS mobile_keys_check_in;
DROP INDEX CONCURRENTLY IF EXISTS listings_time_zone;
DROP TRIGGER IF EXISTS check_out_changed ON reservations;
DROP TRIGGER IF EXISTS key_listed ON mobile_keys;
DROP TRIGGER IF EXISTS key_listed_new ON mobile_keys;
DROP FUNCTION IF EXISTS check_out_changed, key_listed;
ALTER TABLE mobile_keys DROP COLUMN IF EXISTS check_out, DROP COLUMN IF EXISTS check_out_month, DROP COLUMN IF EXISTS moved_by;
