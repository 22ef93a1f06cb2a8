package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"unicode"

	"github.com/pressly/goose/v3"
	"golang.org/x/text/unicode/norm"
)

// People search for "fernandez" and mean Fernández. staykey_plain is like staykey_fold (folded.go), and leaves accents
// out too. Each letter stands for one letter, as translate() has it: ß stays ß.

// plainTexts creates the function and has the indexes of searches use it, with guests' phone numbers.
func plainTexts() *goose.Migration {
	return goose.NewGoMigration(75, &goose.GoFunc{RunDB: plainUp}, &goose.GoFunc{RunDB: plainDown})
}

// struck are letters with a stroke, and the like, which Unicode doesn't decompose.
var struck = map[rune]rune{'ø': 'o', 'đ': 'd', 'ð': 'd', 'ł': 'l', 'ħ': 'h', 'ı': 'i', 'ŧ': 't'}

// plain returns the letter that stands for a letter with and without accents, in any case; 0 for an accent alone.
func plain(r rune) rune {
	if unicode.Is(unicode.Mn, r) {
		return 0
	}
	folded := fold(r)
	if other, is := struck[folded]; is {
		return other
	}
	var letter rune
	for _, part := range norm.NFKD.String(string(folded)) {
		switch {
		case unicode.Is(unicode.Mn, part):
		case letter == 0:
			letter = fold(part)
		default:
			return folded // of several letters
		}
	}
	if !unicode.IsLetter(letter) && !unicode.IsDigit(letter) { // no signs, above all no quotes: it is for SQL
		return folded
	}
	return letter
}

// plainFirst are letters that have one form only. translate() looks a letter up from the beginning of its list, and
// most letters of a text that has accents are these: at the end of thousands, a text took milliseconds.
const plainFirst = " eaionrstludcmghpbyfvkwzjxq0123456789@.-_+/"

func plainFunction() string {
	var from, to, accents strings.Builder
	for r := range letters() {
		switch other := plain(r); other {
		case r:
		case 0:
			accents.WriteRune(r)
		default:
			from.WriteRune(r)
			to.WriteRune(other)
		}
	}
	return `CREATE OR REPLACE FUNCTION staykey_plain(t text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
		$$
		SELECT CASE WHEN octet_length(t) = char_length(t) THEN lower(t COLLATE "C")
			ELSE translate(lower(t COLLATE "C"),
				'` + plainFirst + from.String() + accents.String() + `', '` + plainFirst + to.String() + `') END $$`
}

const (
	plainReservation = `staykey_plain(reservation_id || ' ' || coalesce(listing_id, '') || ' ' || coalesce(guest_email, '') || ' ' || coalesce(guest_name, '') || ' ' || coalesce(guest_phone, ''))`
	plainListing     = `staykey_plain(listing_id || ' ' || coalesce(name, ''))`
)

func plainUp(ctx context.Context, db *sql.DB) error {
	return replaceTexts(ctx, db, plainSearch(), "folded")
}

func plainDown(ctx context.Context, db *sql.DB) error {
	if err := replaceTexts(ctx, db, foldedSearch(), "plain"); err != nil {
		return err
	}
	return each(ctx, db, []string{`DROP FUNCTION IF EXISTS staykey_plain`})
}

// texts are what searches compare with.
type texts struct {
	name                 string // of its indexes
	function             string // that makes a text comparable
	reservation, listing string // expressions of their texts
}

func plainSearch() texts { return texts{"plain", plainFunction(), plainReservation, plainListing} }

func foldedSearch() texts { return texts{"folded", foldFunction(), foldedReservation, foldedListing} }

// replaceTexts creates a function and the indexes that searches use with it, and drops those of another one. Where
// pg_trgm isn't available, there are none (00003).
func replaceTexts(ctx context.Context, db *sql.DB, t texts, other string) error {
	statements := []string{
		t.function,
		`DROP STATISTICS IF EXISTS listings_text_values`,
		`CREATE STATISTICS listings_text_values ON (` + t.listing + `) FROM listings`,
	}
	var trigrams bool
	if err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM pg_extension
		WHERE extname = 'pg_trgm')`).Scan(&trigrams); err != nil {
		return fmt.Errorf("look for pg_trgm: %w", err)
	}
	if trigrams {
		statements = append(
			statements,
			`DROP INDEX CONCURRENTLY IF EXISTS reservations_text_`+t.name, // an interrupted one is not valid
			`DROP INDEX CONCURRENTLY IF EXISTS listings_text_`+t.name,
			`CREATE INDEX CONCURRENTLY reservations_text_`+t.name+` ON reservations USING gin (`+t.reservation+
				` gin_trgm_ops)`,
			`CREATE INDEX CONCURRENTLY listings_text_`+t.name+` ON listings USING gin (`+t.listing+
				` gin_trgm_ops) WHERE known`,
		)
	}
	// without statistics of the new expressions, lists take every text for a rare one
	return each(ctx, db, append(statements, `ANALYZE reservations, listings`,
		`DROP INDEX CONCURRENTLY IF EXISTS reservations_text_`+other,
		`DROP INDEX CONCURRENTLY IF EXISTS listings_text_`+other))
}
