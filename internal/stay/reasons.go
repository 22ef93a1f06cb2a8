package stay

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Everything about why a key has its status is in one table (reason_table.go). A row has the code for programs, the
// message for people who know staykey's settings, the words for the front desk, who can remove the cause, and when
// staykey tries again.
//
//	who                                    what it uses of a row
//	provisioner, plan                      Code, and Message with its details, when a key gets its status; Retry
//	REST, log, events out, staykey doctor  what the provisioner has written
//	page                                   Desk; Message for the history; both translated (internal/handlers/web/words)
//	docs/runbook.md                        a section for each code
//
// Tests name what a new row lacks: its section in the runbook, and its translations.

// Fixer is who can remove the cause of a reason.
type Fixer string

// Who can fix it.
const (
	FixNobody Fixer = "nobody"                // it resolves on its own
	FixPMS    Fixer = "the PMS"               // the reservation or listing must be corrected there
	FixAdmin  Fixer = "an admin of staykey"   // a setting, a listing or a decision
	FixSeam   Fixer = "the Seam console"      // the connection, the API key, an object
	FixSalto  Fixer = "the Salto KS site"     // subscriptions, users
	FixReport Fixer = "staykey's maintainers" // a mistake in the program
)

// Retry is whether and when staykey tries again on its own. A change of the reservation, of its listing, or an
// admin's reconcile is tried at once, whatever the reason.
type Retry string

// When it is tried again.
const (
	RetryOnChange Retry = "when something it depends on changes"
	RetryAtTime   Retry = "at a known time"
	RetryDaily    Retry = "once a day"
	RetryMinutes  Retry = "every few minutes"
	RetryMinute   Retry = "every minute while the guest is near, less often otherwise"
	RetryHourly   Retry = "about once an hour"
	RetryAdmin    Retry = "not until an admin or a later event asks for it"
)

// Reason says why a mobile key has its status.
type Reason struct {
	Code string // stable, for programs
	// Message is for people: what is wrong and what to do. It has placeholders for details, see [Message].
	Message string
	Desk    Desk
	Fix     Fixer
	Retry   Retry
}

// Desk is a reason in the words of a front desk, for the page. They name no setting and no request of the API.
type Desk struct {
	// Listings says how many listings ({n}, singular|plural) keep how many {guests} from their keys; "" where it isn't
	// about listings.
	Listings string
	Problem  string // what is wrong with one stay
	Do       string // what to do, if the button doesn't say it
	Button   string
	Opens    Opening // what the button does
}

// Opening is what a button of the page does about a reason.
type Opening int

// What a button does.
const (
	OpenListing Opening = iota + 1 // opens the listing, to choose its doors or its other settings
	OpenStay                       // opens the stay, which has the actions
	CompareStay                    // compares the stay with Seam again, and repairs it
	ReleaseHold                    // asks to release the hold
	RenewKey                       // asks to create a new key
)

// Anchor is the reason's section in docs/runbook.md.
func (r Reason) Anchor() string { return "#" + r.Code }

// Reasons returns the whole table.
func Reasons() []Reason { return append([]Reason(nil), reasons...) }

// Find returns the row of a code; ok is false for one that does not exist.
func Find(code string) (r Reason, ok bool) {
	for _, r := range reasons {
		if r.Code == code {
			return r, true
		}
	}
	return Reason{}, false
}

var placeholder = regexp.MustCompile(`"?\{[a-z]+\}`)

// Message returns a reason's message with its placeholders filled in, in their order. A code without a row is a mistake
// in the program: it panics.
func Message(code string, details ...any) string {
	r, ok := Find(code)
	if !ok {
		panic("stay: no reason " + code)
	}
	return placeholder.ReplaceAllStringFunc(r.Message, func(place string) string {
		if len(details) == 0 {
			return place
		}
		text := fmt.Sprint(details[0])
		details = details[1:]
		if place[0] == '"' { // the closing quote is in the message
			return strings.TrimSuffix(strconv.Quote(text), `"`)
		}
		return text
	})
}

// Codes returns every code, in the order of the table.
func Codes() []string {
	codes := make([]string, len(reasons))
	for i, r := range reasons {
		codes[i] = r.Code
	}
	return codes
}
