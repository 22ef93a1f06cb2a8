-- +goose NO TRANSACTION
-- Write-back: what staykey wrote into fields of PMSs. The texts are not here, only keyed hashes of them. Old versions of the binary leave it alone;
-- the triggers count their changes too. Each statement locks one table and can be repeated.
-- +goose Up

-- A source that writes back: how far changes of stays were taken up, and which replica writes.
CREATE TABLE IF NOT EXISTS write_back_sources (
    source      text   PRIMARY KEY,
    settings    text   NOT NULL,           -- fingerprint of what is written where: a change has every stay looked at again
    position    bigint NOT NULL DEFAULT 0, -- in stay_positions: changes up to there are taken up
    lease_token uuid,                      -- one replica writes at a time, because PMSs count all requests of an account
    lease_until timestamptz
) WITH (fillfactor = 50);

-- A booking at a PMS that has the field. Several reservations of one booking share it. There is no foreign key: the field is cleared also after
-- its reservations are gone.
CREATE TABLE IF NOT EXISTS write_backs (
    source         text        NOT NULL,
    booking_id     text        NOT NULL,           -- of the PMS
    status         text        NOT NULL CHECK (status IN ('pending', 'written', 'failed', 'cleared')),
    reason         text,                           -- why it failed, for programs
    last_error     text,                           -- and for people; null after a success
    changed_at     timestamptz NOT NULL,           -- of the status
    written        bytea,                          -- keyed hash of the text that the field holds, as far as is known; null: none
    parts          text[]      NOT NULL DEFAULT '{}', -- the reservations whose texts are in it
    place          jsonb,                          -- where that is: preset, field, route
    unsure         boolean     NOT NULL DEFAULT false, -- a call left whose result is not recorded: the field may hold something else
    lost_at        timestamptz,                    -- when a call ended without an answer: it may take effect late
    looks          integer     NOT NULL DEFAULT 0, -- how often the field was looked at since
    due_at         timestamptz,                    -- when to compare again; null: when something changes
    rank           smallint    NOT NULL DEFAULT 1, -- what is due: 0 arrivals within a day, 1 others, 2 what only needs clearing
    tries          integer     NOT NULL DEFAULT 0, -- failed ones in a row
    failing_since  timestamptz,                    -- the first of them
    changes        bigint      NOT NULL DEFAULT 0, -- of the stays, so that one during an attempt is not lost
    PRIMARY KEY (source, booking_id)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX IF NOT EXISTS write_backs_due ON write_backs (source, rank, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS write_backs_unsettled ON write_backs (source, status, failing_since) WHERE status IN ('pending', 'failed');

-- Changes that matter only to what is written. They raise no sequence: they are no events.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION write_back_may_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO stay_changes (source, reservation_id)
        SELECT NEW.source, NEW.reservation_id WHERE EXISTS (SELECT FROM write_back_sources w WHERE w.source = NEW.source);
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE OR REPLACE TRIGGER write_back_may_change AFTER UPDATE ON reservations FOR EACH ROW
    WHEN ((OLD.guest_email, OLD.guest_name, OLD.guest_phone, OLD.check_in, OLD.check_out, OLD.booking_id)
        IS DISTINCT FROM (NEW.guest_email, NEW.guest_name, NEW.guest_phone, NEW.check_in, NEW.check_out, NEW.booking_id))
    EXECUTE FUNCTION write_back_may_change();
CREATE OR REPLACE TRIGGER write_back_may_change AFTER UPDATE ON guest_stays FOR EACH ROW
    WHEN (OLD.counter IS DISTINCT FROM NEW.counter) EXECUTE FUNCTION write_back_may_change();

-- A reservation that is deleted leaves nothing in its field.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION write_back_ends() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE write_backs SET due_at = 'epoch', rank = 2, changes = changes + 1
        WHERE source = OLD.source AND booking_id = coalesce(OLD.booking_id, OLD.reservation_id) AND status <> 'cleared';
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE OR REPLACE TRIGGER write_back_ends AFTER DELETE ON reservations FOR EACH ROW EXECUTE FUNCTION write_back_ends();

-- +goose Down
DROP TRIGGER IF EXISTS write_back_ends ON reservations;
DROP TRIGGER IF EXISTS write_back_may_change ON guest_stays;
DROP TRIGGER IF EXISTS write_back_may_change ON reservations;
DROP FUNCTION IF EXISTS write_back_may_change(), write_back_ends();
DROP TABLE IF EXISTS write_backs, write_back_sources;
