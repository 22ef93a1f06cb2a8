-- +goose NO TRANSACTION
-- The column is named as the code names it. As with 00063, nothing is released that knows the old name: versions from
-- before backup codes don't touch the table, and keep running during an upgrade.
-- +goose Up

-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'backup_codes'::regclass AND attname = 'own') THEN
        ALTER TABLE backup_codes RENAME COLUMN own TO made_by_us;
    END IF;
END
$$;
-- +goose StatementEnd

-- +goose Down

ALTER TABLE backup_codes RENAME COLUMN made_by_us TO own;
