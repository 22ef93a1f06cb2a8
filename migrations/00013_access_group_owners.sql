-- +goose Up

-- Which source used an access group first. With several sources, and where a source's policy has no lists of its own,
-- no other source may open it. Old versions ignore it; groups that they use first in the meantime are entered at the
-- next look.
CREATE TABLE access_group_owners (
    acs_access_group_id text        COLLATE "C" PRIMARY KEY,
    source              text        NOT NULL,
    since               timestamptz NOT NULL
);
INSERT INTO access_group_owners (acs_access_group_id, source, since)
    SELECT DISTINCT ON (g) g, source, coalesce(created_at, now())
    FROM listings, unnest(coalesce(admin_access_group_ids, access_group_ids)) AS g
    WHERE known AND NOT deleted
    ORDER BY g, created_at, source;

-- +goose Down
DROP TABLE access_group_owners;
