package admin

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// This file looks at what PMSs post: whether one has gone silent, what of it is refused, and which listings it names
// that nobody has set up. It only reads, so that looking changes nothing of what is seen.

// Quiet is how long a PMS has posted nothing.
type Quiet struct {
	Never bool          // nothing has come within 35 days
	For   time.Duration // since the last authentic webhook
	Usual time.Duration // the longest pause before it; 0 where too little is known
	Long  bool          // that is unusually long
}

const (
	// A PMS is silent if nothing has come for twice its longest pause, and at least a day.
	quietTimes = 2
	quietLeast = 24 * time.Hour
	// Where it has posted in fewer hours than quietKnown, nothing is usual yet, and a week is long.
	quietKnown   = 5
	quietUnknown = 7 * 24 * time.Hour
)

func quietOf(of store.EventIntervals, now time.Time) Quiet {
	if of.Hours == 0 {
		return Quiet{Never: true}
	}
	q := Quiet{For: max(now.Sub(of.LastAt), 0)}
	limit := quietUnknown
	if of.Hours >= quietKnown {
		q.Usual = of.Longest
		limit = max(quietTimes*of.Longest, quietLeast)
	}
	q.Long = q.For > limit
	return q
}

// heard are the findings on what PMSs post.
func (s Sources) heard(ctx context.Context) ([]Finding, error) {
	states, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	findings := make([]Finding, 0, 2*len(states))
	for _, state := range states {
		findings = append(findings, quietFinding(state))
		if state.ErrorsOfLastDay > 0 {
			findings = append(findings, Finding{
				Check: "intake", Level: LevelWarning, Subject: state.Name,
				Message: fmt.Sprintf("%d of %d webhooks of the last 24 hours were rejected, or had a wrong signature",
					state.ErrorsOfLastDay, state.EventsOfLastDay),
				Do: "open Events and filter by Rejected: fix the cause that each one shows, then replay them",
			})
		}
	}
	unknown, err := s.unknownListings(ctx)
	if err != nil {
		return nil, err
	}
	undated, err := s.undatedStays(ctx)
	return append(append(findings, unknown...), undated...), err
}

// arrivals finds guests who are about to arrive, or have, without a key.
func (s Sources) arrivals(ctx context.Context) ([]Finding, error) {
	now := s.now().UTC()
	without, err := s.store.Keys.ArrivalsWithoutKey(ctx, now, now.Add(s.config.DueWithin), nil, arrivalsShown+1)
	if err != nil || len(without) == 0 {
		return nil, err
	}

	n := strconv.Itoa(len(without))
	if len(without) > arrivalsShown {
		n = fmt.Sprintf("> %d", arrivalsShown)
	}
	return []Finding{{
		Check: "arrivals", Level: LevelWarning, Subject: "guests", Kind: FindingGuests,
		Message: fmt.Sprintf("guests without a key who are due within %s or have arrived: %s",
			InWords(s.config.DueWithin), n),
		Do: "open Today: it lists them, each with what to do",
	}}, nil
}

func quietFinding(state SourceState) Finding {
	f := Finding{Check: "source", Level: LevelOK, Subject: state.Name}
	switch q := state.Quiet; {
	case q.Never:
		f.Level = LevelWarning
		f.Message = "its PMS has posted nothing within 35 days"
		f.Do = "follow the steps of its page (Sources) to set up the webhook in the PMS"
	case q.Long && q.Usual > 0:
		f.Level = LevelWarning
		f.Message = fmt.Sprintf("its PMS has posted nothing for %s; its longest pause before was %s", InWords(q.For),
			InWords(q.Usual))
		f.Do = "check that the webhook is still enabled in the PMS"
	case q.Long:
		f.Level = LevelWarning
		f.Message = fmt.Sprintf("its PMS has posted nothing for %s", InWords(q.For))
		f.Do = "check that the webhook is still enabled in the PMS"
	default:
		f.Message = fmt.Sprintf("its PMS last posted %s ago", InWords(q.For))
	}
	return f
}

// InWords writes a duration in its most readable unit.
func InWords(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "less than a minute"
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// unknownShown bounds the findings on listings that nobody has set up.
const unknownShown = 20

func (s Sources) unknownListings(ctx context.Context) ([]Finding, error) {
	rows, err := s.store.Listings.WithGroups(ctx, store.GroupFilter{Unknown: true, Sources: ActorOf(ctx).Sources},
		store.GroupCursor{}, s.now().UTC(), unknownShown+1)
	if err != nil {
		return nil, err
	}
	findings := make([]Finding, 0, len(rows))
	for i, l := range rows {
		f := Finding{Check: "listing", Level: LevelWarning}
		if i == unknownShown {
			f.Subject, f.Message = "more", fmt.Sprintf("more than %d listings are named by reservations and not set up",
				unknownShown)
			f.Do, f.Kind = "open Doors: it lists them first", FindingMoreMissing
			findings = append(findings, f)
			break
		}
		f.Subject = l.Source + "/" + l.ListingID
		f.Message = fmt.Sprintf("reservations name it, but it isn't set up: %s waiting for a key", guests(l.Waiting))
		f.Do = "set it up, on its page or with PUT " + stay.ListingPath(l.Source, l.ListingID)
		f.Kind = FindingNotSetUp
		f.Listing = &FoundListing{stay.ListingRef{Source: l.Source, ListingID: l.ListingID}, stay.Text(l.Name)}
		findings = append(findings, f)
	}
	return findings, nil
}

// undatedCounted is how many stays without times are counted, by listing and cause.
const undatedCounted = 10_000

// undatedStays finds listings whose time zone isn't known, and sources whose PMS leaves out dates: their guests get no
// key, and are on no list of a range of days. Listings that nobody has set up are found by [Sources.unknownListings].
func (s Sources) undatedStays(ctx context.Context) ([]Finding, error) {
	counts, err := s.store.Calendar.CountUndated(ctx, s.lastDay(), ActorOf(ctx).Sources, undatedCounted)
	if err != nil {
		return nil, err
	}
	var findings []Finding
	others := map[string]int{}
	all, zones := 0, 0
	for _, c := range counts {
		all += c.Stays
	}
	if all >= undatedCounted { // the counts by listing are of some of them
		return []Finding{{
			Check: "arrivals", Level: LevelWarning, Subject: subjectTimes, Kind: FindingUndated,
			Message: fmt.Sprintf("stays without a known check-in or check-out: %d or more", undatedCounted),
			Do:      doUndated,
		}}, nil
	}
	for _, c := range counts {
		switch {
		case c.Reason == stay.ReasonListingUnknown:
		case c.Reason != stay.ReasonNoTimeZone:
			others[c.Source] += c.Stays
		case zones < unknownShown:
			findings = append(findings, noTimeZone(c))
			zones++
		case zones == unknownShown:
			findings = append(findings, Finding{
				Check: "listing", Level: LevelWarning, Subject: subjectTimes, Kind: FindingUndated,
				Message: fmt.Sprintf("more than %d listings have no time zone", unknownShown),
				Do:      "set time_zone of the source",
			})
			zones++
		}
	}
	for _, source := range slices.Sorted(maps.Keys(others)) {
		findings = append(findings, Finding{
			Check: "arrivals", Level: LevelWarning, Subject: source, Kind: FindingUndated,
			Message: fmt.Sprintf("stays without a known check-in or check-out: %d", others[source]),
			Do:      doUndated,
		})
	}
	return findings, s.nameListings(ctx, findings)
}

func noTimeZone(c store.UndatedStays) Finding {
	return Finding{
		Check: "listing", Level: LevelWarning, Subject: c.Source + "/" + c.ListingID,
		Message: fmt.Sprintf("its time zone isn't known: %s waiting for a key", guests(c.Stays)),
		Do: "set its time zone, on its page or with PUT " + stay.ListingPath(c.Source, c.ListingID) +
			", or time_zone of the source",
		Kind: FindingNoTimeZone, Listing: &FoundListing{ListingRef: c.ListingRef},
	}
}

// nameListings adds the names of the listings that findings are about.
func (s Sources) nameListings(ctx context.Context, findings []Finding) error {
	var refs []stay.ListingRef
	for _, f := range findings {
		if f.Listing != nil {
			refs = append(refs, f.Listing.ListingRef)
		}
	}
	named, err := s.store.Listings.Named(ctx, refs)
	for _, f := range findings {
		if f.Listing != nil {
			f.Listing.Name = stay.Text(named[f.Listing.ListingRef].Name)
		}
	}
	return err
}

// subjectTimes is the subject of findings on stays without times of many listings.
const subjectTimes = "times"

const doUndated = "open Reservations, Stays: Without times, and complete them in the PMS or set the listings' time zones"

func guests(n int) string {
	if n == 1 {
		return "1 guest is"
	}
	return fmt.Sprintf("%d guests are", n)
}
