-- +goose NO TRANSACTION
-- A stay whose check-in moves may be nearer than a deadline of its gates at once, without one passing: it is looked at then. A key that has been
-- issued changes its status anyway. Old versions of the binary leave it alone. Each statement locks one table and can be repeated.
-- +goose Up
CREATE OR REPLACE TRIGGER key_changed BEFORE UPDATE ON mobile_keys FOR EACH ROW
    WHEN ((OLD.status, OLD.reason) IS DISTINCT FROM (NEW.status, NEW.reason) OR OLD.sequence <> NEW.sequence
        OR (OLD.check_in IS DISTINCT FROM NEW.check_in AND NEW.status IN ('waiting', 'attention')))
    EXECUTE FUNCTION key_changed();

-- +goose Down
CREATE OR REPLACE TRIGGER key_changed BEFORE UPDATE ON mobile_keys FOR EACH ROW
    WHEN ((OLD.status, OLD.reason) IS DISTINCT FROM (NEW.status, NEW.reason) OR OLD.sequence <> NEW.sequence)
    EXECUTE FUNCTION key_changed();
