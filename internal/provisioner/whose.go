package provisioner

import (
	"html"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
)

// Whose an ACS user is that Seam shows on an identity and system of ours. Its id is not recorded anywhere, so only what
// Seam shows can tell:
//
//	its name     that of the reservation: it is ours
//	             another that the access system may have made of ours: as if there were none
//	             any other: it isn't ours, unless it is the answer to our create
//	its hours    those that we sent: it is ours if it was created at about the time of our create
//	created_at   without a name and hours this is all there is
//
// The clock that created_at is from may differ from ours. So the less there is besides it, the closer it must be.

// How much Seam's clock and ours may differ. Usually they agree. If an ACS user has the very hours that we sent, or if
// created_at is the only field that tells, they may be far apart.
const (
	clocksAgree    = time.Second
	clocksDiffer   = time.Minute
	clocksFarApart = 10 * time.Minute
)

// isOurs reports whether an ACS user that Seam lists for a row's identity and system can only be the result of a
// create for this row. Without the name it needs evidence: that nothing contradicts it is true of anybody's ACS user.
func (b belief) isOurs(listed seam.ACSUser, u *record.User, fullName string) bool {
	switch {
	case sameName(listed.FullName, fullName):
		return true
	case listed.FullName != "" && !mayBeStoredAs(listed.FullName, fullName), !b.cameOfCreates(listed, u):
		return false
	case record.HasSchedule(listed):
		return u.ShowsSchedule(listed)
	default:
		return u.AwaitsCreate()
	}
}

// cameOfCreates reports whether Seam says that an ACS user was created while a create for the row may have taken
// effect: after its mark, and before its answer, or the last that it can be after a loss.
func (b belief) cameOfCreates(listed seam.ACSUser, u *record.User) bool {
	created := seam.ParseTime(listed.CreatedAt)
	if u.MarkedAt == nil || !created.After(u.MarkedAt.Add(-clocksFarApart)) {
		return false
	}
	ended := lastCreateEnded(u)
	return ended == nil || created.Before(ended.Add(b.timeout+b.lag+clocksFarApart))
}

// lastCreateEnded is when the last create for a row ended; nil if it may be under way.
func lastCreateEnded(u *record.User) *time.Time {
	if u.MadeAt != nil {
		return u.MadeAt
	}
	return u.LostAt
}

// isSurplus reports whether an ACS user that is ours besides the recorded one may be deleted: Seam shows its name or
// its hours, and says that a create of ours made it, one for the row or one whose answer was lost before. One that was
// created later than a lost create can show up is a person's, whatever its name is.
func (b belief) isSurplus(listed seam.ACSUser, u *record.User, lostAt *time.Time) bool {
	if u.MarkedAt == nil || listed.FullName == "" && !record.HasSchedule(listed) {
		return false
	}
	clocks := clocksDiffer
	if showsHours(listed, u) {
		clocks = clocksFarApart
	}

	from := *u.MarkedAt
	if lostAt != nil && lostAt.Add(-lastLookup).Before(from) {
		from = lostAt.Add(-lastLookup)
	}
	created, ended := seam.ParseTime(listed.CreatedAt), lastCreateEnded(u)
	return created.After(from.Add(-clocks)) && (ended == nil || created.Before(ended.Add(lastLookup+clocks)))
}

// cameOfLoss reports whether Seam says that an ACS user was created between the row's mark, or shortly before the
// loss, and the end of the lost call.
func (b belief) cameOfLoss(listed seam.ACSUser, u *record.User, lostAt time.Time) bool {
	return b.isSurplus(listed, u, &lostAt) &&
		seam.ParseTime(listed.CreatedAt).Before(lostAt.Add(b.timeout+b.lag+clocksDiffer))
}

// isAnothers reports whether a create that was sent then was answered with an ACS user that isn't the stay's: some
// systems may return the one that the identity already has. What the create itself has made is ours, whatever the
// access system has made of its name.
func (b belief) isAnothers(made seam.ACSUser, u *record.User, fullName string, sent time.Time) bool {
	created := seam.ParseTime(made.CreatedAt)
	nameless := made.FullName == "" || mayBeStoredAs(made.FullName, fullName)
	switch {
	case made.ACSSystemID != "" && made.ACSSystemID != u.ACSSystemID:
		return true
	case sameName(made.FullName, fullName), nameless && made.CreatedAt == "":
		return false
	case !nameless && made.UserIdentityID != "" && made.UserIdentityID != u.UserIdentityID:
		return true
	case showsHours(made, u):
		return made.CreatedAt != "" && created.Before(u.MarkedAt.Add(-clocksFarApart))
	case nameless && record.HasSchedule(made):
		return created.Before(u.MarkedAt.Add(-clocksDiffer))
	case nameless:
		return created.Before(u.MarkedAt.Add(-clocksFarApart))
	default:
		return created.Before(sent.Add(-clocksAgree))
	}
}

// existedBefore reports whether a create was answered with an ACS user that the create may not have made.
func (b belief) existedBefore(made seam.ACSUser, u *record.User) bool {
	return u.MarkedAt != nil && seam.ParseTime(made.CreatedAt).Before(u.MarkedAt.Add(-clocksDiffer))
}

// canHaveKey reports whether an ACS user that a create returned may have existed before it, and so have a mobile key.
func (b belief) canHaveKey(made seam.ACSUser, u *record.User) bool {
	return u.MarkedAt != nil && seam.ParseTime(made.CreatedAt).Before(u.MarkedAt.Add(-clocksAgree))
}

// showsHours reports whether Seam shows the hours of a row.
func showsHours(shown seam.ACSUser, u *record.User) bool {
	return record.HasSchedule(shown) && u.ShowsSchedule(shown)
}

func sameName(a, b string) bool { return strings.TrimSpace(a) == strings.TrimSpace(b) }

// mayBeStoredAs reports whether an access system may have stored a name like that: cut, in another case or Unicode
// form, with its HTML escaped, or without some spaces, accents or signs.
func mayBeStoredAs(stored, name string) bool {
	stored, name = letters(stored), letters(name)
	return stored != "" && strings.HasPrefix(name, stored)
}

// isRenamed reports whether an ACS user of ours has a name that isn't known to be what an access system makes of ours.
func isRenamed(shown, name string) bool {
	return letters(shown) != "" && !sameName(shown, name) && !mayBeStoredAs(shown, name)
}

// letters are the letters and digits of a name, in one case and without accents.
func letters(name string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return -1
		}
		return unicode.ToLower(unicode.ToUpper(r))
	}, norm.NFKD.String(html.UnescapeString(name)))
}
