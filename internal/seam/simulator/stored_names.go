package simulator

import (
	"html"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"
)

// StoredName says what the access system makes of a user's name.
type StoredName string

// The switch's positions.
const (
	AsSent        StoredName = ""
	CutName       StoredName = "cut" // to 20 characters
	UpperCase     StoredName = "upper_case"
	LowerCase     StoredName = "lower_case"
	SingleSpaces  StoredName = "single_spaces"
	ComposedName  StoredName = "composed" // Unicode's NFC
	EscapedName   StoredName = "escaped"  // as HTML
	OtherNames    StoredName = "other"    // a number of its own
	longestStored            = 20
)

// storedName is a user's name as answers show it and searches find it. The state keeps the name that was sent.
func (s *workspace) storedName(u User) string {
	switch s.options.StoredName {
	case CutName:
		letters := []rune(u.FullName)
		return string(letters[:min(longestStored, len(letters))])
	case UpperCase:
		return strings.ToUpper(u.FullName)
	case LowerCase:
		return strings.ToLower(u.FullName)
	case SingleSpaces:
		return strings.Join(strings.Fields(u.FullName), " ")
	case ComposedName:
		return norm.NFC.String(u.FullName)
	case EscapedName:
		return html.EscapeString(u.FullName)
	case OtherNames:
		return "user " + u.ID
	default:
		return u.FullName
	}
}

// created writes when something was created, by Seam's own clock.
func (s *workspace) created(at time.Time) any { return stamp(at.Add(s.options.ClockAhead)) }
