package admin

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Sources reports on PMS accounts, tests their webhooks, and checks the configuration against Seam and Postgres.
type Sources struct{ *core }

// SourceState is a source and how it is doing.
type SourceState struct {
	Name        string
	Format      string
	Verify      string // how its webhooks are verified
	Insecure    bool   // it takes webhooks from anybody
	NeedsFetch  bool   // its format asks the PMS for documents
	Fetches     bool   // it has an account to do so
	WebhookPath string
	WebhookURL  string         // what to give to the PMS, without a token; "" where PublicURL is not known
	LastEventAt *time.Time     // the last authentic webhook of the PMS, within 35 days
	TestedAt    *time.Time     // the last test event that was verified and stored, likewise
	Quiet       Quiet          // whether the PMS has been silent for unusually long
	Token       SecretLocation // where in the URL the secret goes
	// LastDay is the result of webhooks within 24 hours: applied, superseded, ignored, rejected, duplicate, refused.
	LastDay map[string]int
	Secrets []SecretUse // in the order of the configuration

	EventsOfLastDay, ErrorsOfLastDay int
}

// SecretLocation is where in a webhook's URL the secret goes; the zero value is nowhere.
type SecretLocation struct {
	Path      bool   // after the source's name
	Parameter string // the value of this parameter
}

// SecretUse is how often one secret of a source has verified a webhook.
type SecretUse struct {
	Secret        int        // its number among the source's secrets, from 1
	LastMatchedAt *time.Time // nil: not within 35 days
	LastDay       int        // how often within 24 hours
}

// SourceTest is the result of a test event.
type SourceTest struct {
	OK      bool    `json:"ok"`
	URL     string  `json:"url" doc:"URL of the test. Only the path if the event stayed in the process, because STAYKEY_PUBLIC_URL is not set."`
	Status  int     `json:"status" doc:"HTTP status of the answer; 0 without an answer."`
	EventID *string `json:"event_id" format:"uuid" doc:"The event in the inbox: type staykey.test, status ignored."`
	Message string  `json:"message" example:"the test event was verified and stored"`
}

// List lists the sources that the actor sees, by name.
func (s Sources) List(ctx context.Context) ([]SourceState, error) {
	visible := ActorOf(ctx).Sources
	s.flushActivity(ctx)

	last, err := s.store.Activity.Last(ctx, visible)
	if err != nil {
		return nil, err
	}
	day, err := s.store.Activity.Since(ctx, s.now().Add(-24*time.Hour), visible)
	if err != nil {
		return nil, err
	}
	intervals, err := s.store.Activity.EventIntervals(ctx, visible)
	if err != nil {
		return nil, err
	}

	states := []SourceState{}
	sources := s.config.Sources()
	for _, name := range s.Visible(ctx) {
		state := s.state(sources[name])
		state.addLast(rowsOf(name, last))
		state.addDay(rowsOf(name, day))
		state.Quiet = quietOf(intervals[name], s.now())
		states = append(states, state)
	}
	return states, nil
}

// Get returns one source.
func (s Sources) Get(ctx context.Context, name string) (SourceState, error) {
	states, err := s.List(ctx)
	if err != nil {
		return SourceState{}, err
	}
	for _, state := range states {
		if state.Name == name {
			return state, nil
		}
	}
	return SourceState{}, refuse(NotFound, unknownSource)
}

const unknownSource = "unknown source"

// flushActivity has an answer include what has just happened here; what other replicas have counted is seconds late.
func (s Sources) flushActivity(ctx context.Context) {
	if s.config.Activity == nil {
		return
	}
	if err := s.store.Activity.Flush(ctx, s.config.Activity); err != nil {
		s.log.Warn("activity not read: leaving it out of the answer", "error", err)
	}
}

func rowsOf(source string, rows []store.ActivityRow) []store.ActivityRow {
	return slices.DeleteFunc(slices.Clone(rows), func(row store.ActivityRow) bool { return row.Source != source })
}

// state is what the configuration says of a source.
func (s Sources) state(source pms.Source) SourceState {
	state := SourceState{
		Name: source.Name, Format: source.FormatName(), Verify: source.VerifyMethod(), Insecure: source.Insecure,
		NeedsFetch: source.Format != nil && source.Format.Fetch != nil, Fetches: source.Fetch != nil,
		WebhookPath: "/webhooks/" + url.PathEscape(source.Name), LastDay: map[string]int{}, Secrets: make([]SecretUse,
			len(source.Secrets)),
	}
	carried := source.Carries()
	state.Token = SecretLocation{Path: carried.Path, Parameter: carried.Query}
	for i := range state.Secrets {
		state.Secrets[i].Secret = i + 1
	}
	if s.config.PublicURL != "" {
		state.WebhookURL = s.config.PublicURL + state.WebhookPath
	}
	return state
}

// addLast adds when things happened last.
func (state *SourceState) addLast(rows []store.ActivityRow) {
	for _, row := range rows {
		at := row.LastAt
		if row.Kind == store.ActivityTest {
			state.TestedAt = &at
		}
		i, is := secretOf(row.Kind)
		if !is {
			continue
		}
		if state.LastEventAt == nil || at.After(*state.LastEventAt) {
			state.LastEventAt = &at
		}
		if i >= 1 && i <= len(state.Secrets) {
			state.Secrets[i-1].LastMatchedAt = &at
		}
	}
}

// addDay adds what happened within a day.
func (state *SourceState) addDay(rows []store.ActivityRow) {
	for _, row := range rows {
		n := int(row.N)
		switch i, is := secretOf(row.Kind); {
		case is:
			state.EventsOfLastDay += n
			if i >= 1 && i <= len(state.Secrets) {
				state.Secrets[i-1].LastDay += n
			}
		case slices.Contains([]string{
			store.ActivityMade, store.ActivityRemoved, store.ActivityAttention,
			store.ActivityReplay, store.ActivityImport, store.ActivityTest,
		}, row.Kind):
		default:
			state.LastDay[row.Kind] += n
			if row.Kind == stay.EventRejected || row.Kind == store.ActivityRefused {
				state.ErrorsOfLastDay += n
			}
		}
	}
	state.EventsOfLastDay += state.LastDay[store.ActivityRefused]
}

// secretOf reads which secret verified a webhook, counted from 1, from a kind of activity; 0 where none is needed.
func secretOf(kind string) (number int, is bool) {
	text, is := strings.CutPrefix(kind, store.ActivitySecret)
	_, _ = fmt.Sscan(text, &number)
	return number, is
}

// Test posts a signed test event to a source's webhook.
func (s Sources) Test(ctx context.Context, name string) (SourceTest, error) {
	result, err := s.test(ctx, name)
	if err != nil {
		return result, err
	}
	entry := ActorOf(ctx).Audit(auditTestSource, "").About(name, "", "")
	entry.After = map[string]any{"ok": result.OK, "status": result.Status}
	return result, s.record(ctx, entry)
}

func (s Sources) test(ctx context.Context, name string) (SourceTest, error) {
	source, ok := s.source(name)
	if !ok || !ActorOf(ctx).Sees(name) {
		return SourceTest{}, refuse(NotFound, unknownSource)
	}
	if source.Verifier == nil {
		return SourceTest{}, &Error{Kind: Invalid, Message: "the source has no verifier, so it refuses all webhooks"}
	}
	return s.config.TestSource(ctx, source)
}

// Diagnosis is the result of checking the configuration against Seam, Postgres and the webhooks.
type Diagnosis struct {
	OK       bool      `json:"ok" doc:"No finding is an error."`
	Findings []Finding `json:"findings" nullable:"false" doc:"Errors first, then warnings."`
}

// Finding is the result of one check.
type Finding struct {
	Check   string `json:"check" enum:"database,migrations,seam,access_system,listing,clock,webhook,source,intake" example:"listing"`
	Level   string `json:"level" enum:"ok,warning,error"`
	Subject string `json:"subject" example:"default/2222222-2222" doc:"Subject of the finding."`
	Message string `json:"message" doc:"The finding."`
	Do      string `json:"do" doc:"How to fix it; empty if no action is needed."`

	Kind    FindingKind   `json:"-"` // "" for one that the page has no words of its own for
	Listing *FoundListing `json:"-"` // of findings of a kind that is about a listing
}

// FindingKind is what findings of one cause have in common, for the page.
type FindingKind string

// Kinds of findings. The first four are each about one listing.
const (
	FindingNoDoors     FindingKind = "no_doors"           // it has no access groups
	FindingUnknownDoor FindingKind = "unknown_door"       // Seam doesn't know one of its access groups
	FindingNotSetUp    FindingKind = "not_set_up"         // reservations name it, but nobody has set it up
	FindingNoTimeZone  FindingKind = "no_time_zone"       // its time zone isn't known, and stays need it
	FindingMoreMissing FindingKind = "more_not_set_up"    // there are more listings that nobody has set up
	FindingUndated     FindingKind = "undated"            // stays without times
	FindingGuests      FindingKind = "guests_without_key" // guests who are due and have no key
)

// FoundListing is the listing that a finding is about.
type FoundListing struct {
	stay.ListingRef
	Name string // "" for none
}

// Levels of a finding.
const (
	LevelOK      = "ok"
	LevelWarning = "warning"
	LevelError   = "error"
)

// Diagnose checks the configuration against what it names: database, Seam, listings, clocks, and the webhook of
// each source by a signed test event. Not for a token limited to some sources.
func (s Sources) Diagnose(ctx context.Context) (Diagnosis, error) {
	if ActorOf(ctx).Sources != nil {
		return Diagnosis{}, refuse(Forbidden,
			"this token is limited to some sources, but the diagnosis covers all: use another token")
	}
	d := Diagnosis{OK: true, Findings: s.config.Diagnose(ctx)}
	heard, err := s.heard(ctx)
	if err != nil {
		return d, err
	}
	arrivals, err := s.arrivals(ctx)
	if err != nil {
		return d, err
	}
	d.Findings = append(append(d.Findings, heard...), arrivals...)
	for _, name := range slices.Sorted(maps.Keys(s.config.Sources())) {
		d.Findings = append(d.Findings, s.webhookFinding(ctx, name))
	}
	worst := []string{LevelError, LevelWarning, LevelOK}
	slices.SortStableFunc(d.Findings,
		func(a, b Finding) int { return slices.Index(worst, a.Level) - slices.Index(worst, b.Level) })
	d.OK = !slices.ContainsFunc(d.Findings, func(f Finding) bool { return f.Level == LevelError })
	return d, nil
}

func (s Sources) webhookFinding(ctx context.Context, name string) Finding {
	f := Finding{Check: "webhook", Level: LevelOK, Subject: name}
	result, err := s.test(ctx, name)
	switch {
	case err != nil:
		f.Level, f.Message, f.Do = LevelError, err.Error(), "check the source's entry in the config file"
	case !result.OK:
		f.Level, f.Message = LevelError, "test event to "+result.URL+": "+result.Message
		f.Do = "check that STAYKEY_PUBLIC_URL reaches this service through your proxies, and that nothing in between changes requests"
	case s.config.PublicURL == "":
		f.Level, f.Message = LevelWarning, "test event accepted, but only tested inside this process"
		f.Do = "set STAYKEY_PUBLIC_URL to the address that PMSs post to, so that this check uses it"
	default:
		f.Message = "test event to " + result.URL + " accepted"
	}
	return f
}
