package admin_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
)

// desk is a service whose clock stands still, over a database that tests fill.
type desk struct {
	t     *testing.T
	store *store.Store
	admin *admin.Service
	now   time.Time
}

// It is 20:30 of Thursday in Madrid, and 11:30 in Los Angeles.
var deskTime = time.Date(2026, 11, 26, 19, 30, 0, 0, time.UTC)

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, store: storetest.New(t), now: deskTime}
	sources := map[string]pms.Source{}
	for name, zone := range map[string]string{"madrid": "Europe/Madrid", "plain": ""} {
		policy := pms.DefaultPolicy()
		policy.TimeZone = zone
		sources[name] = pms.Source{Name: name, Policy: policy}
	}
	d.admin = admin.New(admin.Config{
		Store: d.store, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return d.now },
		CursorKey: []byte("a key of the tests"),
		Sources:   func() map[string]pms.Source { return sources }, Gates: func(string) []pms.Gate { return nil },
	})
	d.sql(`INSERT INTO listings (source, listing_id, known, name, time_zone, created_at, updated_at)
		VALUES ('plain', 'la', true, 'Bungalow', 'America/Los_Angeles', now(), now()),
			('madrid', '101', true, 'Room 101', NULL, now(), now())`)
	return d
}

func (d *desk) sql(statement string, args ...any) {
	d.t.Helper()
	if _, err := d.store.Pool().Exec(context.Background(), statement, args...); err != nil {
		d.t.Fatal(err)
	}
}

// guest is a stay for a desk.
type guest struct {
	source, id, listing string
	in, out             string // as 2026-11-26T15:00Z
	booking             string // "" is confirmed
	status, reason      string // of the key
	attempts            int
	changed             time.Duration // so long ago
}

func (d *desk) book(guests ...guest) {
	d.t.Helper()
	at := func(text string) time.Time {
		at, err := time.Parse("2006-01-02T15:04Z07:00", text)
		if err != nil {
			d.t.Fatal(err)
		}
		return at
	}
	for _, g := range guests {
		if g.booking == "" {
			g.booking = "confirmed"
		}
		if g.source == "" {
			g.source, g.listing = "madrid", "101"
		}
		d.sql(
			`INSERT INTO reservations (source, reservation_id, status, listing_id, check_in, check_out, version_at,
				version_seq, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, now(), 1, now(), now())`, g.source, g.id, g.booking, g.listing,
			at(g.in), at(g.out))
		d.sql(
			`INSERT INTO mobile_keys (source, reservation_id, status, reason, cancelled, check_in, attempts, changed_at)
			VALUES ($1, $2, $3, nullif($4, ''), $5, $6, $7, $8)`,
			g.source, g.id, g.status, g.reason, g.booking == "cancelled", at(g.in), g.attempts,
			deskTime.Add(-g.changed))
	}
}

func (d *desk) day(actor admin.Actor, q admin.DayQuery) admin.Day {
	d.t.Helper()
	if q.Limit == 0 {
		q.Limit = 50
	}
	day, err := d.admin.Days.Get(admin.WithActor(context.Background(), actor), q)
	if err != nil {
		d.t.Fatal(err)
	}
	return day
}

func idsOf(stays []admin.Stay) string {
	ids := make([]string, len(stays))
	for i, s := range stays {
		ids[i] = s.Reservation.ReservationID
	}
	return strings.Join(ids, " ")
}

// lists are the lists of a day, by their names, each read to its end in pages of two.
func (d *desk) lists(actor admin.Actor, q admin.DayQuery) map[admin.DayPart]string {
	d.t.Helper()
	lists := map[admin.DayPart]string{}
	for _, part := range admin.DayParts() {
		q.Part, q.Limit, q.Cursor = part, 2, ""
		var all []admin.Stay
		for {
			day := d.day(actor, q)
			all = append(all, day.Stays.Items...)
			if q.Cursor = day.Stays.Next; q.Cursor != "" {
				continue
			}
			if n := day.Counts[part]; n != len(all) {
				d.t.Errorf("%s of %q: the count is %d, the list has %d", part, q.Date, n, len(all))
			}
			break
		}
		lists[part] = idsOf(all)
	}
	return lists
}

func TestDayIsOfEachProperty(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.book(
		guest{id: "arrived", in: "2026-11-26T14:00Z", out: "2026-11-28T10:00Z", status: "active"},
		// 00:30 of the 27th in Madrid
		guest{id: "after-midnight", in: "2026-11-26T23:30Z", out: "2026-11-28T10:00Z", status: "issued"},
		guest{id: "before-midnight", in: "2026-11-26T22:30Z", out: "2026-11-28T10:00Z", status: "issued"},
		guest{id: "stays", in: "2026-11-20T14:00Z", out: "2026-11-29T10:00Z", status: "active"},
		guest{id: "leaves", in: "2026-11-20T14:00Z", out: "2026-11-26T11:00Z", status: "expired"},
		guest{id: "left", in: "2026-11-20T14:00Z", out: "2026-11-25T11:00Z", status: "expired"},
		guest{id: "day-use", in: "2026-11-26T08:00Z", out: "2026-11-26T16:00Z", status: "expired"},
		guest{
			id: "cancelled", in: "2026-11-26T14:00Z", out: "2026-11-28T10:00Z", booking: "cancelled",
			status: "revoked",
		},
		guest{id: "months", in: "2026-01-01T14:00Z", out: "2027-01-01T10:00Z", status: "active"},
		// 16:00 of the 26th there
		guest{
			source: "plain", listing: "la", id: "la-evening", in: "2026-11-27T00:00Z", out: "2026-11-28T19:00Z",
			status: "issued",
		},
		// 20:00 of the 26th there
		guest{
			source: "plain", listing: "la", id: "la-leaves", in: "2026-11-20T14:00Z", out: "2026-11-27T04:00Z",
			status: "active",
		},
		guest{
			source: "plain", listing: "gone", id: "utc", in: "2026-11-26T23:59Z", out: "2026-11-27T23:00Z",
			status: "issued",
		},
	)
	for name, c := range map[string]struct {
		q    admin.DayQuery
		want map[admin.DayPart]string
	}{
		"today": {admin.DayQuery{}, map[admin.DayPart]string{
			admin.DayArrivals: "day-use arrived before-midnight utc la-evening", admin.DayInHouse: "stays months",
			admin.DayDepartures: "leaves day-use la-leaves", admin.DayProblems: "",
		}},
		"the same day by its date": {admin.DayQuery{Date: "2026-11-26"}, map[admin.DayPart]string{
			admin.DayArrivals: "day-use arrived before-midnight utc la-evening", admin.DayInHouse: "stays months",
			admin.DayDepartures: "leaves day-use la-leaves", admin.DayProblems: "",
		}},
		"the next day": {admin.DayQuery{Date: "2026-11-27"}, map[admin.DayPart]string{
			admin.DayArrivals: "after-midnight", admin.DayInHouse: "arrived before-midnight la-evening stays months",
			admin.DayDepartures: "utc", admin.DayProblems: "",
		}},
		"one property": {admin.DayQuery{Source: "plain"}, map[admin.DayPart]string{
			admin.DayArrivals: "utc la-evening", admin.DayInHouse: "", admin.DayDepartures: "la-leaves",
			admin.DayProblems: "",
		}},
		"a property that nobody has": {admin.DayQuery{Source: "nowhere"}, map[admin.DayPart]string{
			admin.DayArrivals: "", admin.DayInHouse: "", admin.DayDepartures: "", admin.DayProblems: "",
		}},
	} {
		if diff := cmp.Diff(c.want, d.lists(admin.Actor{}, c.q)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if day := d.day(admin.Actor{}, admin.DayQuery{Part: admin.DayArrivals}); day.Ready != 4 || !day.IsToday ||
		day.First != day.Last {
		t.Errorf("%d ready, today: %t, from %s to %s", day.Ready, day.IsToday, day.First, day.Last)
	}
	if day := d.day(admin.Actor{}, admin.DayQuery{Part: admin.DayArrivals, Date: "2026-11-27"}); day.IsToday {
		t.Error("tomorrow is today")
	}
}

func TestDayWhereDatesDiffer(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.now = time.Date(2026, 11, 27, 0, 30, 0, 0, time.UTC) // the 27th in Madrid, the 26th in Los Angeles
	d.book(
		guest{id: "madrid", in: "2026-11-27T14:00Z", out: "2026-11-28T10:00Z", status: "issued"},
		guest{
			source: "plain", listing: "la", id: "la", in: "2026-11-27T01:00Z", out: "2026-11-28T19:00Z",
			status: "issued",
		},
		guest{
			source: "plain", listing: "la", id: "la-tomorrow", in: "2026-11-27T23:00Z", out: "2026-11-28T19:00Z",
			status: "issued",
		},
	)
	day := d.day(admin.Actor{}, admin.DayQuery{Part: admin.DayArrivals})
	if got := idsOf(day.Stays.Items); got != "la madrid" {
		t.Errorf("today's arrivals: %s", got)
	}
	if day.First.Day() != 26 || day.Last.Day() != 27 || !day.IsToday {
		t.Errorf("today is from %s to %s", day.First, day.Last)
	}
}

func TestProblemsOfADay(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	late := func(g guest) guest { g.in, g.out = "2026-11-26T14:00Z", "2026-11-28T10:00Z"; return g }
	later := func(g guest) guest { g.in, g.out = "2026-11-26T22:00Z", "2026-11-28T10:00Z"; return g }
	d.book(
		late(guest{id: "a-no-doors", status: "waiting", reason: stay.ReasonNoGroups}),
		guest{
			id: "b-no-doors-for-days", in: "2026-11-24T14:00Z", out: "2026-11-28T10:00Z", status: "waiting",
			reason: stay.ReasonNoGroups,
		},
		late(guest{id: "c-gate", status: "waiting", reason: stay.ReasonGateClosed}),
		late(guest{id: "d-no-reason", status: "waiting"}),
		late(guest{id: "e-slow", status: "provisioning", changed: time.Hour}),
		late(guest{id: "f-just-now", status: "provisioning", changed: time.Second}),
		late(guest{id: "g-in-use", status: "active"}),
		late(guest{id: "h-revoked", status: "revoked", reason: stay.ReasonRevokedByAdmin}),
		later(guest{id: "i-no-doors-yet", status: "waiting", reason: stay.ReasonNoGroups}),
		later(guest{id: "j-gate-yet", status: "waiting", reason: stay.ReasonGateClosed}),
		later(guest{id: "k-before-horizon", status: "waiting", reason: stay.ReasonBeforeHorizon}),
		later(guest{id: "l-fails", status: "provisioning", attempts: 3, reason: stay.ReasonSubscriptionLimit}),
		later(guest{id: "m-attention", status: "attention", reason: stay.ReasonRejected}),
		guest{
			id: "n-left", in: "2026-11-24T14:00Z", out: "2026-11-26T10:00Z", status: "waiting",
			reason: stay.ReasonGateClosed,
		},
		guest{
			id: "o-not-removed", in: "2026-11-24T14:00Z", out: "2026-11-26T10:00Z", status: "attention",
			reason: stay.ReasonNotRemoved,
		},
	)
	got := d.lists(admin.Actor{}, admin.DayQuery{})[admin.DayProblems]
	want := "b-no-doors-for-days o-not-removed a-no-doors c-gate d-no-reason e-slow i-no-doors-yet l-fails m-attention"
	if got != want {
		t.Errorf("problems: %s, not %s", got, want)
	}
	day := d.day(admin.Actor{}, admin.DayQuery{Part: admin.DayProblems, Reason: stay.ReasonNoGroups})
	if got := idsOf(day.Stays.Items); got != "b-no-doors-for-days a-no-doors i-no-doors-yet" {
		t.Errorf("of one cause: %s", got)
	}
	if day.Late != 5 {
		t.Errorf("%d can't get in, not 5", day.Late)
	}
	var causes []string
	for _, c := range day.Causes {
		causes = append(causes, fmt.Sprint(c.Reason, " ", c.Guests, " ", c.Late, " ", len(c.Listings), " ",
			idsOf(c.First)))
	}
	if diff := cmp.Diff([]string{
		"no_access_groups 3 2 1 b-no-doors-for-days a-no-doors i-no-doors-yet", "gate_closed 1 1 1 c-gate",
		"waiting 1 1 1 d-no-reason", "provisioning 1 1 1 e-slow",
		"not_removed 1 0 1 o-not-removed", "subscription_limit_exceeded 1 0 1 l-fails",
		"rejected_by_seam 1 0 1 m-attention",
	}, causes); diff != "" {
		t.Errorf("causes (-want +got):\n%s", diff)
	}
	if tomorrow := d.day(admin.Actor{}, admin.DayQuery{
		Part: admin.DayProblems,
		Date: "2026-11-29",
	}); tomorrow.Counts[admin.DayProblems] != 0 {
		t.Errorf("problems of a day with no stays: %d", tomorrow.Counts[admin.DayProblems])
	}
}

func TestDayOfAScopedToken(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.book(
		guest{
			id: "seen", in: "2026-11-26T14:00Z", out: "2026-11-28T10:00Z", status: "waiting",
			reason: stay.ReasonNoGroups,
		},
		guest{
			source: "plain", listing: "la", id: "unseen", in: "2026-11-26T18:00Z", out: "2026-11-28T10:00Z",
			status: "waiting", reason: stay.ReasonNoGroups,
		},
	)
	actor := admin.Actor{Token: admin.Token{Sources: []string{"madrid"}}}
	for _, source := range []string{"", "madrid"} {
		day := d.day(actor, admin.DayQuery{Part: admin.DayProblems, Source: source})
		if got := idsOf(day.Stays.Items); got != "seen" || day.Counts[admin.DayProblems] != 1 ||
			len(day.Causes[0].Listings) != 1 {
			t.Errorf("source %q: %s, %+v", source, got, day.Causes)
		}
	}
	if day := d.day(actor, admin.DayQuery{Part: admin.DayProblems, Source: "plain"}); len(day.Stays.Items)+
		len(day.Causes) > 0 {
		t.Errorf("another source: %+v", day)
	}
}

func TestDayRefusesNonsense(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for _, q := range []admin.DayQuery{
		{Date: "yesterday"},
		{Date: "2026-11-26T00:00:00Z"},
		{Date: "2026-02-30"},
		{Part: admin.DayArrivals, Paging: admin.Paging{Cursor: "AAAA"}},
	} {
		q.Limit = 10
		_, err := d.admin.Days.Get(context.Background(), q)
		if refusal, is := admin.IsRefusal(err); !is || refusal.Kind != admin.Invalid {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

// Stays whose check-in or check-out isn't known are on the days that their PMS sent, and a problem whatever the key
// waits for; without a date, of today.
func TestDayHasStaysWithoutTimes(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	sent := func(id, in, out, booking, reason string, known ...string) {
		t.Helper()
		d.sql(`INSERT INTO reservations (source, reservation_id, status, listing_id, check_in_said, check_out_said,
			check_in,
				version_at, version_seq, created_at, updated_at)
			VALUES ('plain', $1, $2, 'attic', nullif($3, ''), nullif($4, ''), nullif($5, '')::timestamptz, now(), 1,
				now(), now())`,
			id, booking, in, out, strings.Join(known, ""))
		d.sql(`INSERT INTO mobile_keys (source, reservation_id, status, reason, cancelled, changed_at)
			VALUES ('plain', $1, 'waiting', $2, $3, now())`, id, reason, booking == "cancelled")
	}
	const zone, dates = stay.ReasonNoTimeZone, stay.ReasonNoDates
	sent("arrives", "2026-11-26T15:00", "2026-11-28", "confirmed", zone)
	sent("no-room", "2026-11-26", "2026-11-28", "confirmed", stay.ReasonNoRoom)
	sent("stays", "2026-11-20", "2026-11-29", "confirmed", zone)
	sent("leaves", "2026-11-20", "2026-11-26", "confirmed", zone)
	sent("left", "2026-11-20", "2026-11-25", "confirmed", zone)
	sent("comes", "2026-12-24", "2026-12-26", "confirmed", zone)
	sent("cancelled", "2026-11-26", "2026-11-28", "cancelled", zone)
	sent("dateless", "", "", "confirmed", dates)
	sent("open-end", "2026-11-20T15:00:00Z", "", "confirmed", dates, "2026-11-20T15:00:00Z")
	sent("no-begin", "", "2026-11-25", "confirmed", dates)

	for _, tc := range []struct {
		date string
		want map[admin.DayPart]string
	}{
		{"", map[admin.DayPart]string{
			admin.DayProblems: "dateless leaves open-end stays arrives no-room", admin.DayArrivals: "arrives no-room",
			admin.DayInHouse: "open-end stays", admin.DayDepartures: "leaves",
		}},
		{"2026-12-24", map[admin.DayPart]string{
			admin.DayProblems: "comes", admin.DayArrivals: "comes", admin.DayInHouse: "", admin.DayDepartures: "",
		}},
		{"2026-11-25", map[admin.DayPart]string{
			admin.DayProblems: "no-begin leaves left stays", admin.DayArrivals: "", admin.DayInHouse: "leaves stays",
			admin.DayDepartures: "left no-begin",
		}},
	} {
		if diff := cmp.Diff(tc.want, d.lists(admin.Actor{}, admin.DayQuery{Date: tc.date})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tc.date, diff)
		}
	}

	day := d.day(admin.Actor{}, admin.DayQuery{})
	if day.Late != 0 {
		t.Errorf("%d are late, although nobody knows the hour", day.Late)
	}
	all := admin.ReservationQuery{Undated: true, Paging: admin.Paging{Limit: 50}}
	ctx := admin.WithActor(context.Background(), admin.Actor{})
	list, err := d.admin.Reservations.List(ctx, all)
	if err != nil {
		t.Fatal(err)
	}
	n, err := d.admin.Reservations.Count(ctx, all, 100)
	if err != nil || n != len(list.Items) || n != 7 { // all but those that are over or cancelled
		t.Errorf("%d are counted, %d listed: %v", n, len(list.Items), err)
	}
}
