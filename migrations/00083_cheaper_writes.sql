-- +goose NO TRANSACTION
-- What each new stay and each mark of a worker costs. Versions that don't know this keep running. Each statement locks one
-- table and can be repeated.
-- +goose Up

-- A new key comes with its check-out and the month of it. Older versions, and keys whose check-out is not known, come
-- without: only then does the trigger look the check-out up.
CREATE OR REPLACE TRIGGER key_listed_new BEFORE INSERT ON mobile_keys FOR EACH ROW
    WHEN (NEW.check_out_month = 0) EXECUTE FUNCTION key_listed();

-- staykey_require ends a transaction whose statements travel in one round trip, so that nobody can look at the result
-- of one before the next is sent. code tells the reasons apart.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION staykey_require(ok boolean, code text, otherwise text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF ok IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = code, MESSAGE = otherwise;
    END IF;
END
$$;
-- +goose StatementEnd

-- Workers update these rows several times while their key is made. Room on their pages keeps updates that change no
-- indexed column out of the indexes.
ALTER TABLE acs_users SET (fillfactor = 70);
ALTER TABLE user_identities SET (fillfactor = 85);

-- +goose Down
ALTER TABLE user_identities RESET (fillfactor);
ALTER TABLE acs_users RESET (fillfactor);
DROP FUNCTION IF EXISTS staykey_require;
CREATE OR REPLACE TRIGGER key_listed_new BEFORE INSERT ON mobile_keys FOR EACH ROW EXECUTE FUNCTION key_listed();
