-- +goose NO TRANSACTION
-- Each change of a stay raises its sequence by one. Messages have numbers of their own where one change needs several
-- (internal/notify), so nothing has to be left free for them. While a key is being created, changed or removed nothing is
-- reported, so that isn't numbered or noted either. Old versions of the binary may run at the same time; two of their messages about
-- one change may have the same number.
-- +goose Up

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION key_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.sequence = OLD.sequence THEN
        IF NEW.status IN ('provisioning', 'revoking') THEN
            RETURN NEW;
        END IF;
        NEW.sequence := OLD.sequence + 1;
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
    UPDATE mobile_keys SET sequence = sequence + 1
        WHERE source = stay.source AND reservation_id = stay.reservation_id AND status IN ('issued', 'active', 'attention');
    RETURN NULL;
END
$$;
-- +goose StatementEnd
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
    UPDATE mobile_keys SET sequence = sequence + 1
        WHERE source = stay.source AND reservation_id = stay.reservation_id AND status NOT IN ('provisioning', 'revoking');
    RETURN NULL;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION said_gates_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT jsonb_object_agg(key, value - 'at') FROM jsonb_each(OLD.gates)) IS DISTINCT FROM
        (SELECT jsonb_object_agg(key, value - 'at') FROM jsonb_each(NEW.gates))
        OR EXISTS (SELECT FROM gate_words w WHERE w.source = NEW.source AND w.reservation_id = NEW.reservation_id) THEN
        UPDATE mobile_keys SET sequence = sequence + 1
            WHERE source = NEW.source AND reservation_id = NEW.reservation_id AND status NOT IN ('provisioning', 'revoking');
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- +goose Down
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
