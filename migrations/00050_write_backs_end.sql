-- +goose NO TRANSACTION
-- A booking whose field is cleared needs no row once its reservations are gone; the table would only grow.
-- +goose Up
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION write_back_ends() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM write_backs
        WHERE source = OLD.source AND booking_id = coalesce(OLD.booking_id, OLD.reservation_id) AND status = 'cleared' AND due_at IS NULL;
    UPDATE write_backs SET due_at = 'epoch', rank = 2, changes = changes + 1
        WHERE source = OLD.source AND booking_id = coalesce(OLD.booking_id, OLD.reservation_id);
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION write_back_ends() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE write_backs SET due_at = 'epoch', rank = 2, changes = changes + 1
        WHERE source = OLD.source AND booking_id = coalesce(OLD.booking_id, OLD.reservation_id) AND status <> 'cleared';
    RETURN NULL;
END
$$;
-- +goose StatementEnd
