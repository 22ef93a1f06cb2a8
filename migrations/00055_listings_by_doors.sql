-- +goose NO TRANSACTION
-- Listings in the order in which somebody sets them up: those that reservations name and nobody has set up, those without doors, the rest;
-- each by name.
-- +goose Up
CREATE INDEX CONCURRENTLY IF NOT EXISTS listings_doors ON listings (
    (CASE WHEN NOT known THEN 0 WHEN cardinality(coalesce(admin_access_group_ids, access_group_ids)) = 0 THEN 1 ELSE 2 END),
    (staykey_fold(coalesce(name, listing_id)) COLLATE "C"), source, listing_id
) WHERE NOT deleted;

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS listings_doors;
