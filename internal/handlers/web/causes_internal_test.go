package web

import (
	"regexp"
	"strings"
	"testing"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/lang"
	"github.com/staykey/staykey/internal/stay"
)

func TestEveryReasonHasHotelWords(t *testing.T) {
	t.Parallel()
	apiWords := []string{"seam_access_group_ids", "PUT ", "reconcile", "acs_system_id", "last_error", "access group"}
	for _, code := range append(stay.Codes(), stay.KeyWaiting, stay.KeyProvisioning, stay.KeyAttention) {
		w, ok := causes[code]
		if !ok {
			t.Errorf("%s has no words", code)
			continue
		}
		if w.Button == "" || w.Fix == 0 || !strings.HasSuffix(string(w.Problem), ".") ||
			(w.Do != "" && !strings.HasSuffix(string(w.Do), ".")) {
			t.Errorf("%s: %+v", code, w)
		}
		for _, word := range apiWords {
			if strings.Contains(string(w.Problem+w.Do+w.Button+w.Listings), word) {
				t.Errorf("%s speaks of %q, which is not a word of a hotel", code, word)
			}
		}
	}
	for code := range causes {
		_, known := stay.Find(code)
		if !known && code != stay.KeyWaiting && code != stay.KeyProvisioning && code != stay.KeyAttention {
			t.Errorf("there are words for %s, which is no reason", code)
		}
	}
	for _, status := range stay.KeyStatuses() {
		if keyWords[status] == "" {
			t.Errorf("the status %s has no word", status)
		}
	}
}

// What to do for a cause is shown above all of its listings, so it speaks of none of them as the only one.
func TestCausesOfSeveralListings(t *testing.T) {
	t.Parallel()
	its := map[string]*regexp.Regexp{
		"en": regexp.MustCompile(`(?i)\bits?\b`), "de": regexp.MustCompile(`\bihre?[mnrs]?\b|Sie (sie|es|ihn)\b`),
		"es": regexp.MustCompile(`(?i)\bsus? (puertas|llaves|sistema|zona)|(indíquela|corríjalo|póngale)`),
		"fr": regexp.MustCompile(`(?i)\b(son|sa|ses)\b|-(le|la|lui)\b`),
		"it": regexp.MustCompile(`(?i)\b(suo|sua|sue|suoi) (porte|chiavi|sistema|fuso)|gli dia|lo corregga|lo indichi`),
	}
	for _, r := range stay.Reasons() {
		for _, l := range languages {
			in := l.catalog().Locale("", lang.RegionsClock)
			if text := in.T(lang.Text(r.Desk.Do)); r.Desk.Listings != "" && its[l.Tag].MatchString(text) {
				t.Errorf("%s in %s: %q is about a single listing", r.Code, l.Tag, text)
			}
		}
	}
}

func TestTitlesOfCauses(t *testing.T) {
	t.Parallel()
	listings := []stay.ListingRef{
		{Source: "default", ListingID: "1"},
		{Source: "default", ListingID: "2"},
		{Source: "default", ListingID: "3"},
	}
	for want, cause := range map[string]admin.Cause{
		"14 guests: 3 listings without doors": {
			Reason: stay.ReasonNoGroups, Guests: 14,
			Listings: listings,
		},
		"1 guest: 1 listing not set up yet": {
			Reason: stay.ReasonListingUnknown, Guests: 1,
			Listings: listings[:1],
		},
		"2 guests: Salto KS has no free user subscription": {
			Reason: stay.ReasonSubscriptionLimit, Guests: 2,
			Listings: listings,
		},
		"1 guest: Something new": {Reason: "something_new", Guests: 1},
	} {
		if got := (causeGroup{Cause: cause, causeWords: wordsOf(cause.Reason), in: english}).Title(); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}

func TestTelephoneIsOnlyANumber(t *testing.T) {
	t.Parallel()
	for number, want := range map[string]string{
		"+34 612-340.001": "tel:+34612340001", "javascript:alert(1)": "tel:1", "": "tel:",
		"(0)30 / 12 ext. 4": "tel:030124",
	} {
		if got := string(telephone(number)); got != want {
			t.Errorf("%q: %q, not %q", number, got, want)
		}
	}
}

// A stay's page shows the message of its reason where that says more than the words of the cause: an ACS user that is
// somebody else's now was not taken away.
func TestDetailOfACause(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ why, code, message, want string }{
		{"the message says more than the cause", stay.ReasonRemovedAtSeam, stay.Displaced, stay.Displaced},
		{"the message is the cause's own", stay.ReasonRemovedAtSeam, stay.Message(stay.ReasonRemovedAtSeam), ""},
		{
			"the message names a door",
			stay.ReasonNotKept, stay.Message(stay.ReasonNotKept, "a door"), stay.Message(stay.ReasonNotKept, "a door"),
		},
		{"there is no reason to compare with", "", "Seam still shows the deleted ACS user", ""},
	} {
		var v reservationView
		v.Key.Reason, v.Key.Message = &c.code, &c.message
		if got := v.Detail(); got != c.want {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
}
