-- +goose NO TRANSACTION
-- The days of undated stays: confirmed ones whose check-in or check-out isn't known as an instant. Where a property has no time zone there
-- are as many of them as reservations, and only those of a day must be read for it. Versions that don't know this keep running.
-- +goose Up

-- staykey_sent_days is the days that a PMS sent, such as [20261126,20261129): from check-in to check-out, both included. A side that
-- wasn't sent is open. Days that are the wrong way round are one day.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION staykey_sent_days(check_in text, check_out text) RETURNS int4range LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    first integer := CASE WHEN check_in ~ '^\d{4}-\d\d-\d\d' THEN replace(left(check_in, 10), '-', '')::integer END;
    last  integer := CASE WHEN check_out ~ '^\d{4}-\d\d-\d\d' THEN replace(left(check_out, 10), '-', '')::integer END;
BEGIN
    IF last < first THEN
        last := first;
    END IF;
    RETURN int4range(first, last, '[]');
END
$$;
-- +goose StatementEnd

CREATE INDEX CONCURRENTLY IF NOT EXISTS reservations_undated_days ON reservations
    USING gist (staykey_sent_days(check_in_said, check_out_said))
    WHERE status = 'confirmed' AND (check_in IS NULL OR check_out IS NULL);

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS reservations_undated_days;
DROP FUNCTION IF EXISTS staykey_sent_days;
