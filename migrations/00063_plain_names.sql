-- +goose NO TRANSACTION
-- Columns and a table are named as the code and the documentation name them. Nothing is released that knows the old
-- names: the versions that ran before gates, subscriptions and write-backs existed don't touch them, and keep running
-- during an upgrade. What those versions write (reservations.check_in_said and check_out_said, user_identities.made and
-- own) keeps its name, because a running version would fail. Each block locks one table and can be repeated.
-- +goose Up

-- +goose StatementBegin
DO $$
BEGIN
    IF to_regclass('gate_words') IS NOT NULL THEN
        ALTER TABLE gate_words RENAME TO gate_reports;
        ALTER INDEX gate_words_pkey RENAME TO gate_reports_pkey;
    END IF;
    IF to_regproc('said_gates_changed') IS NOT NULL THEN
        ALTER FUNCTION said_gates_changed() RENAME TO pms_gates_changed;
    END IF;
    CREATE OR REPLACE FUNCTION pms_gates_changed() RETURNS trigger LANGUAGE plpgsql AS $f$
    BEGIN
        IF (SELECT jsonb_object_agg(key, value - 'at') FROM jsonb_each(OLD.gates)) IS DISTINCT FROM
            (SELECT jsonb_object_agg(key, value - 'at') FROM jsonb_each(NEW.gates))
            OR EXISTS (SELECT FROM gate_reports r WHERE r.source = NEW.source AND r.reservation_id = NEW.reservation_id) THEN
            UPDATE mobile_keys SET sequence = sequence + 1
                WHERE source = NEW.source AND reservation_id = NEW.reservation_id AND status NOT IN ('provisioning', 'revoking');
        END IF;
        RETURN NULL;
    END
    $f$;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'subscription_stays'::regclass AND attname = 'told') THEN
        ALTER TABLE subscription_stays RENAME COLUMN told TO reported;
        ALTER TABLE subscription_stays RENAME COLUMN told_sequence TO reported_sequence;
        ALTER TABLE subscription_stays RENAME COLUMN perhaps_told TO unconfirmed;
    END IF;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'overrides'::regclass AND attname = 'said_check_in') THEN
        ALTER TABLE overrides RENAME COLUMN said_check_in TO of_check_in_text;
        ALTER TABLE overrides RENAME COLUMN said_check_out TO of_check_out_text;
    END IF;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'write_backs'::regclass AND attname = 'place') THEN
        ALTER TABLE write_backs RENAME COLUMN place TO target;
    END IF;
END
$$;
-- +goose StatementEnd

-- +goose Down

ALTER TABLE write_backs RENAME COLUMN target TO place;

ALTER TABLE overrides RENAME COLUMN of_check_in_text TO said_check_in;
ALTER TABLE overrides RENAME COLUMN of_check_out_text TO said_check_out;

ALTER TABLE subscription_stays RENAME COLUMN reported TO told;
ALTER TABLE subscription_stays RENAME COLUMN reported_sequence TO told_sequence;
ALTER TABLE subscription_stays RENAME COLUMN unconfirmed TO perhaps_told;

-- +goose StatementBegin
DO $$
BEGIN
    ALTER TABLE gate_reports RENAME TO gate_words;
    ALTER INDEX gate_reports_pkey RENAME TO gate_words_pkey;
    ALTER FUNCTION pms_gates_changed() RENAME TO said_gates_changed;
    CREATE OR REPLACE FUNCTION said_gates_changed() RETURNS trigger LANGUAGE plpgsql AS $f$
    BEGIN
        IF (SELECT jsonb_object_agg(key, value - 'at') FROM jsonb_each(OLD.gates)) IS DISTINCT FROM
            (SELECT jsonb_object_agg(key, value - 'at') FROM jsonb_each(NEW.gates))
            OR EXISTS (SELECT FROM gate_words w WHERE w.source = NEW.source AND w.reservation_id = NEW.reservation_id) THEN
            UPDATE mobile_keys SET sequence = sequence + 1
                WHERE source = NEW.source AND reservation_id = NEW.reservation_id AND status NOT IN ('provisioning', 'revoking');
        END IF;
        RETURN NULL;
    END
    $f$;
END
$$;
-- +goose StatementEnd
