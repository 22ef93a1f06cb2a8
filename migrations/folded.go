package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"strings"
	"unicode"

	"github.com/pressly/goose/v3"
	"golang.org/x/text/unicode/rangetable"
)

// Texts are compared in any case by a function of ours. Postgres' lower() depends on the database's locale, and with
// C, which many databases have, it leaves all letters beyond ASCII unchanged. The letters are Unicode's simple
// foldings, as in Go.

// foldedTexts creates the function and the indexes that searches use. It is in Go because indexes that don't block
// writers can't be created in an SQL block, and one of them is only possible where pg_trgm is available (00003).
func foldedTexts() *goose.Migration {
	return goose.NewGoMigration(15, &goose.GoFunc{RunDB: foldedUp}, &goose.GoFunc{RunDB: foldedDown})
}

// foldFunction defines staykey_fold. Most texts are ASCII only, and cost no more than lower().
func foldFunction() string {
	var from, to strings.Builder
	for r := range letters() {
		if folded := fold(r); folded != r {
			from.WriteRune(r)
			to.WriteRune(folded)
		}
	}
	return `CREATE OR REPLACE FUNCTION staykey_fold(t text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
		$$
		SELECT CASE WHEN octet_length(t) = char_length(t) THEN lower(t COLLATE "C")
			ELSE translate(lower(t COLLATE "C"),
				'` + plainFirst + from.String() + `', '` + plainFirst + to.String() + `') END $$`
}

// letters yields the characters beyond ASCII that texts are written with, in order. Six sevenths of Unicode's code
// points are none, and each new database waits for what is made of the others.
func letters() iter.Seq[rune] {
	return func(yield func(rune) bool) {
		ended := false
		rangetable.Visit(rangetable.Merge(unicode.GraphicRanges...), func(r rune) {
			ended = ended || r >= 0x80 && !yield(r)
		})
	}
}

// fold returns the one letter that stands for all that differ only in case.
func fold(r rune) rune {
	least := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		least = min(least, other)
	}
	return unicode.ToLower(least)
}

const (
	foldedReservation = `staykey_fold(reservation_id || ' ' || coalesce(listing_id, '') || ' ' || coalesce(guest_email, '') || ' ' || coalesce(guest_name, ''))`
	foldedListing     = `staykey_fold(listing_id || ' ' || coalesce(name, ''))`
)

func foldedUp(ctx context.Context, db *sql.DB) error {
	statements := []string{
		foldFunction(),
		`DROP INDEX CONCURRENTLY IF EXISTS reservations_guest_folded`, // an interrupted one is not valid
		`CREATE INDEX CONCURRENTLY reservations_guest_folded ON reservations (staykey_fold(guest_email))
			WHERE guest_email IS NOT NULL`,
		`DROP INDEX CONCURRENTLY IF EXISTS reservations_guest`,
		`DROP STATISTICS IF EXISTS listings_text_values`,
		`CREATE STATISTICS listings_text_values ON (` + foldedListing + `) FROM listings`,
	}
	var trigrams bool
	if err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM pg_extension
		WHERE extname = 'pg_trgm')`).Scan(&trigrams); err != nil {
		return fmt.Errorf("look for pg_trgm: %w", err)
	}
	if trigrams {
		statements = append(
			statements,
			`DROP INDEX CONCURRENTLY IF EXISTS reservations_text_folded`,
			`DROP INDEX CONCURRENTLY IF EXISTS listings_text_folded`,
			`CREATE INDEX CONCURRENTLY reservations_text_folded ON reservations USING gin (`+
				foldedReservation+` gin_trgm_ops)`,
			`CREATE INDEX CONCURRENTLY listings_text_folded ON listings USING gin (`+foldedListing+
				` gin_trgm_ops) WHERE known`,
		)
	}
	statements = append(statements, `DROP INDEX CONCURRENTLY IF EXISTS reservations_text`,
		`DROP INDEX CONCURRENTLY IF EXISTS listings_text`)
	return each(ctx, db, statements)
}

func foldedDown(ctx context.Context, db *sql.DB) error {
	return each(ctx, db, []string{
		`DROP INDEX IF EXISTS reservations_text_folded, listings_text_folded, reservations_guest_folded`,
		`DROP STATISTICS IF EXISTS listings_text_values`,
		`CREATE STATISTICS listings_text_values ON (lower(listing_id || ' ' || coalesce(name, ''))) FROM listings`,
		`CREATE INDEX IF NOT EXISTS reservations_guest ON reservations (lower(guest_email))
			WHERE guest_email IS NOT NULL`,
		`DO $$
		BEGIN
			CREATE INDEX IF NOT EXISTS reservations_text ON reservations USING gin
				(lower(reservation_id || ' ' || coalesce(listing_id, '') || ' ' || coalesce(guest_email,
					'') || ' ' || coalesce(guest_name, '')) gin_trgm_ops);
			CREATE INDEX IF NOT EXISTS listings_text
				ON listings USING gin (lower(listing_id || ' ' || coalesce(name, '')) gin_trgm_ops) WHERE known;
		EXCEPTION WHEN OTHERS THEN
			RAISE NOTICE 'the filter q reads whole tables: %', SQLERRM;
		END
		$$`,
		`DROP FUNCTION IF EXISTS staykey_fold`,
	})
}

func each(ctx context.Context, db *sql.DB, statements []string) error {
	for _, statement := range statements {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%.60s...: %w", statement, err)
		}
	}
	return nil
}
