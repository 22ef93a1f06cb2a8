-- +goose NO TRANSACTION
-- Gates: what PMSs, programs and people reported about them, and how far deadlines were checked. Old versions of the
-- binary leave it alone: their writes keep what is there. Each statement locks one table and can be repeated.
-- +goose Up

-- What the PMS reported last, by gate: {"paid": {"state": "open", "at": "...", "opened": true}}; null: nothing.
ALTER TABLE reservations ADD COLUMN IF NOT EXISTS gates jsonb;

-- What programs and people reported over REST, on the page or by the CLI.
CREATE TABLE IF NOT EXISTS gate_words (
    source         text        NOT NULL,
    reservation_id text        NOT NULL,
    name           text        NOT NULL,
    person         boolean     NOT NULL, -- a person decided: that counts until a person withdraws it
    state          text        CHECK (state IN ('open', 'closed', 'unknown')), -- null: a person withdrew the decision
    by             text        NOT NULL,
    at             timestamptz NOT NULL,
    evidence       text,
    opened         boolean     NOT NULL, -- it was reported open at some time
    PRIMARY KEY (source, reservation_id, name, person),
    FOREIGN KEY (source, reservation_id) REFERENCES reservations ON DELETE CASCADE,
    CHECK (person OR state IS NOT NULL)
);

-- Deadlines before check-in up to this time were checked. One row.
CREATE TABLE IF NOT EXISTS gate_deadlines (
    one       boolean     PRIMARY KEY DEFAULT true CHECK (one),
    looked_to timestamptz -- null: never
);
INSERT INTO gate_deadlines DEFAULT VALUES ON CONFLICT DO NOTHING;

-- A change is numbered by three, because it may need three messages: that attention is no longer needed, the new
-- state, and that a gate holds the key back.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION key_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.sequence = OLD.sequence THEN
        NEW.sequence := OLD.sequence + 3;
    END IF;
    INSERT INTO stay_changes (source, reservation_id) VALUES (NEW.source, NEW.reservation_id);
    RETURN NEW;
END
$$;
-- +goose StatementEnd
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
    UPDATE mobile_keys SET sequence = sequence + 3
        WHERE source = stay.source AND reservation_id = stay.reservation_id AND status IN ('issued', 'active', 'attention');
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- What is reported about a stay depends on its gates. While its key is being created, changed or removed nothing is
-- reported; the end of that is a change of status.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION gates_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    stay record;
BEGIN
    IF TG_OP = 'DELETE' THEN
        stay := OLD;
    ELSE
        stay := NEW;
    END IF;
    UPDATE mobile_keys SET sequence = sequence + 3
        WHERE source = stay.source AND reservation_id = stay.reservation_id AND status NOT IN ('provisioning', 'revoking');
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- A PMS that repeats itself changes nothing, unless a program has reported something else in the meantime.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION said_gates_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT jsonb_object_agg(key, value - 'at') FROM jsonb_each(OLD.gates)) IS DISTINCT FROM
        (SELECT jsonb_object_agg(key, value - 'at') FROM jsonb_each(NEW.gates))
        OR EXISTS (SELECT FROM gate_words w WHERE w.source = NEW.source AND w.reservation_id = NEW.reservation_id) THEN
        UPDATE mobile_keys SET sequence = sequence + 3
            WHERE source = NEW.source AND reservation_id = NEW.reservation_id AND status NOT IN ('provisioning', 'revoking');
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE OR REPLACE TRIGGER gates_changed AFTER UPDATE ON reservations FOR EACH ROW
    WHEN (OLD.gates IS DISTINCT FROM NEW.gates) EXECUTE FUNCTION said_gates_changed();
CREATE OR REPLACE TRIGGER gate_came_or_went AFTER INSERT OR DELETE ON gate_words FOR EACH ROW EXECUTE FUNCTION gates_changed();
CREATE OR REPLACE TRIGGER gate_changed AFTER UPDATE ON gate_words FOR EACH ROW
    WHEN ((OLD.state, OLD.at) IS DISTINCT FROM (NEW.state, NEW.at)) EXECUTE FUNCTION gates_changed();

-- +goose Down
DROP TRIGGER IF EXISTS gates_changed ON reservations;
DROP TABLE IF EXISTS gate_words, gate_deadlines;
DROP FUNCTION IF EXISTS gates_changed(), said_gates_changed();
ALTER TABLE reservations DROP COLUMN IF EXISTS gates;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION key_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.sequence = OLD.sequence THEN
        NEW.sequence := OLD.sequence + 2;
    END IF;
    INSERT INTO stay_changes (source, reservation_id) VALUES (NEW.source, NEW.reservation_id);
    RETURN NEW;
END
$$;
-- +goose StatementEnd
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
