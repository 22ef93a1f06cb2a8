-- +goose NO TRANSACTION
-- Counts of keys by status, for summaries and metrics, which counted all keys. key_counts is a log of differences: what
-- changes keys adds rows, so that writers never wait for each other. A count is the sum of its rows, and retention folds
-- them into one each minute. The triggers count for older versions, too. New keys come many in a statement and are counted
-- together; most other statements change one key, and few of them its status.
-- +goose Up
CREATE TABLE IF NOT EXISTS key_counts (
    source    text    NOT NULL,
    cancelled boolean NOT NULL, -- as of the key
    status    text    NOT NULL, -- of the key
    n         bigint  NOT NULL  -- how many keys more; below 0: fewer
);

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION count_new_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO key_counts SELECT source, cancelled, status, count(*) FROM added GROUP BY 1, 2, 3;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION count_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO key_counts VALUES (OLD.source, OLD.cancelled, OLD.status, -1), (NEW.source, NEW.cancelled, NEW.status, 1);
    ELSE
        INSERT INTO key_counts VALUES (OLD.source, OLD.cancelled, OLD.status, -1);
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- staykey_recount_keys adds what the counts lack. It reads keys and counts as of one moment: keys may change meanwhile.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION staykey_recount_keys() RETURNS void LANGUAGE sql AS $$
    INSERT INTO key_counts SELECT source, cancelled, status, sum(n) FROM (
        SELECT source, cancelled, status, count(*) AS n FROM mobile_keys GROUP BY 1, 2, 3
        UNION ALL SELECT source, cancelled, status, -n FROM key_counts) c
        GROUP BY 1, 2, 3 HAVING sum(n) <> 0
$$;
-- +goose StatementEnd

-- Each waits for the transactions that change keys, so that what they change is counted by them or by the recount.
CREATE OR REPLACE TRIGGER count_added AFTER INSERT ON mobile_keys REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_new_keys();
CREATE OR REPLACE TRIGGER count_changed AFTER UPDATE ON mobile_keys FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status OR OLD.cancelled IS DISTINCT FROM NEW.cancelled) EXECUTE FUNCTION count_key();
CREATE OR REPLACE TRIGGER count_removed AFTER DELETE ON mobile_keys FOR EACH ROW EXECUTE FUNCTION count_key();
SELECT staykey_recount_keys();

-- +goose Down
DROP TRIGGER IF EXISTS count_added ON mobile_keys;
DROP TRIGGER IF EXISTS count_changed ON mobile_keys;
DROP TRIGGER IF EXISTS count_removed ON mobile_keys;
DROP FUNCTION IF EXISTS staykey_recount_keys;
DROP FUNCTION IF EXISTS count_new_keys;
DROP FUNCTION IF EXISTS count_key;
DROP TABLE IF EXISTS key_counts;
