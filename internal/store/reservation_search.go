package store

import (
	"context"
	"strings"
)

// What the words of a search find: parts of ids, names, phone numbers and addresses, with or without accents.

// otherTexts are those of [reservationText] without the name.
const otherTexts = `(r.reservation_id || ' ' || coalesce(r.listing_id, '') || ' ' || coalesce(r.guest_email, '')
	|| ' ' || coalesce(r.guest_phone, ''))`

// ReadAs is how a query is read that looks like a whole e-mail address.
type ReadAs string

// ByAddress turns a query that is a guest's whole e-mail address into a search for that guest, by the index on
// addresses. In the index on texts, most parts of an address are those of nearly all guests. It returns how the query
// is read, for the later pages of the list: they must read it as the first one did, whichever guests have come and
// gone.
func (s Reservations) ByAddress(ctx context.Context, f ReservationFilter, as ReadAs) (ReservationFilter, ReadAs,
	error,
) {
	address := strings.TrimSpace(f.Query)
	if f.GuestEmail != "" || !isAddress(address) {
		return f, "", nil
	}
	if as == "" {
		exact := ReservationFilter{GuestEmail: address, Source: f.Source, Sources: f.Sources}
		var w where
		exact.byText(&w)
		var known bool
		err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM reservations r`+w.sql()+`)`,
			w.planned()...).Scan(&known)
		if err != nil {
			return f, "", wrap(err, "look for an address")
		}
		as = ReadAsText
		if known {
			as = ReadAsAddress
		}
	}

	if as == ReadAsAddress {
		f.GuestEmail, f.Query = address, ""
	}
	return f, as, nil
}

// isAddress reports whether a text looks like a whole e-mail address.
func isAddress(text string) bool {
	local, domain, is := strings.Cut(text, "@")
	dot := strings.LastIndex(domain, ".")
	return is && local != "" && dot > 0 && dot < len(domain)-2 && !strings.ContainsAny(text, " \t")
}

// byQuery narrows reservations to those that have each word of the query, in any order: a surname may come first. A
// query that is written as phone numbers are may be one as a whole.
func (f ReservationFilter) byQuery(w *where) {
	const has = reservationText + " LIKE staykey_plain(%s)"
	words := wordsOf(f.Query)
	number := phoneNumber(f.Query)
	if number == "" {
		w.words(reservationText, f.Query)
		return
	}
	each, values := make([]string, len(words)), make([]any, len(words), len(words)+1)
	for i, word := range words {
		each[i], values[i] = has, containing(word)
	}
	w.add("("+strings.Join(each, " AND ")+" OR "+has+")", append(values, containing(number))...)
}

// phoneLeast is how many digits a phone number has at least: fewer are a part of anything.
const phoneLeast = 4

// phoneNumber returns the digits of a query that is written as phone numbers are, as they are stored: without the
// zeros that are dialed first within a country, or to leave one. It returns "" for any other query.
func phoneNumber(query string) string {
	const between = "+-./() \t"
	if strings.Trim(query, "0123456789"+between) != "" {
		return ""
	}
	digits := strings.Map(func(r rune) rune {
		if strings.ContainsRune(between, r) {
			return -1
		}
		return r
	}, strings.Replace(query, "(0)", "", 1))
	if digits = strings.TrimLeft(digits, "0"); len(digits) < phoneLeast {
		return ""
	}
	return digits
}

// reservationText is what q looks in, as the index reservations_text_plain has it.
const reservationText = `staykey_plain(r.reservation_id || ' ' || coalesce(r.listing_id, '') || ' ' ||
	coalesce(r.guest_email, '') || ' ' || coalesce(r.guest_name, '') || ' ' || coalesce(r.guest_phone, ''))`

// The ways to read such a query.
const (
	ReadAsAddress ReadAs = "address" // a guest's: it finds that guest
	ReadAsText    ReadAs = "text"    // no guest's: it is a part of a text, as any other query is
)
