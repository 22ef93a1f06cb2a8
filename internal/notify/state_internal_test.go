package notify

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

func text(s string) *string { return &s }

var starts, ends = time.Date(2024, 11, 1, 15, 0, 0, 0, time.UTC), time.Date(2024, 11, 4, 11, 0, 0, 0, time.UTC)

// present is a stay whose key has a status, and is there if it is issued.
func present(status, reason string) situation {
	p := situation{Now: starts, StayState: store.StayState{
		Ref: stay.Ref{Source: "default", ReservationID: "R1"}, Sequence: 10, ReservationStatus: "confirmed",
		ListingID: text("L1"), KeyStatus: status, ChangedAt: starts,
	}}
	if reason != "" {
		p.Reason = &reason
	}
	if status == "issued" || status == "active" {
		p.ACSUserID, p.CredentialID, p.StartsAt, p.EndsAt, p.AccessGroupIDs = text("u1"), text("c1"), &starts, &ends,
			[]string{"g2", "g1"}
	}
	return p
}

var issuedKey = Key{
	Listing: "L1", StartsAt: "2024-11-01T15:00:00.000Z", EndsAt: "2024-11-04T11:00:00.000Z",
	Groups: []string{"g1", "g2"}, Credential: "c1",
}

func TestNextEvent(t *testing.T) {
	t.Parallel()
	ready := Reported{Ready: true, Key: issuedKey}
	attention := Reported{Attention: true, Reason: "rejected_by_seam"}
	altered := func(change func(*situation)) situation {
		p := present("issued", "")
		change(&p)
		return p
	}
	closedGate := func(holds string) func(*situation) {
		return func(p *situation) {
			p.Closed = []stay.Gate{{GateRule: stay.GateRule{Name: "paid", Holds: holds}, State: "closed"}}
		}
	}
	at := func(before time.Duration, p situation) situation {
		if p.Closed == nil {
			closedGate("key")(&p)
		}
		p.CheckIn, p.Now = &starts, starts.Add(-before)
		return p
	}
	tests := []struct {
		name     string
		reported Reported
		present  situation
		all      []string // the events that lead from the reported to the present state, one after another
	}{
		{"a new stay waits", Reported{}, present("waiting", "listing_unknown"), nil},
		{"a new stay is at work", Reported{}, present("provisioning", ""), nil},
		{"the key is ready for the first time", Reported{}, present("issued", ""), []string{TypeReady}},
		{"the stay had begun when the key became ready", Reported{}, present("active", ""), []string{TypeReady}},
		{"the stay begins: nothing changes for a subscriber", ready, present("active", ""), nil},
		{"nothing changed", ready, present("issued", ""), nil},
		{"another order of doors is no change", ready, altered(func(p *situation) {
			p.AccessGroupIDs = []string{
				"g1",
				"g2",
			}
		}), nil},
		{"another window", ready, altered(func(p *situation) { p.EndsAt = &starts }), []string{TypeChanged}},
		{
			"other doors", ready, altered(func(p *situation) { p.AccessGroupIDs = []string{"g1"} }),
			[]string{TypeChanged},
		},
		{"another listing", ready, altered(func(p *situation) { p.ListingID = text("L2") }), []string{TypeChanged}},
		{
			"another credential", ready, altered(func(p *situation) { p.CredentialID = text("c2") }),
			[]string{TypeChanged},
		},
		{
			"a key that is being changed is not reported until it is ready again", ready, present("provisioning", ""),
			nil,
		},
		{
			"a key that is being repaired: what it will be is not known", ready,
			altered(func(p *situation) { p.CredentialID = nil }), nil,
		},
		{"a person is needed", Reported{}, present("attention", "rejected_by_seam"), []string{TypeAttention}},
		{
			"a person is needed for a key that was ready", ready, present("attention", "removed_at_seam"),
			[]string{TypeAttention},
		},
		{"a person is still needed", attention, present("attention", "rejected_by_seam"), nil},
		{
			"a person is needed for another reason", attention, present("attention", "not_subscribed"),
			[]string{TypeAttention},
		},
		{"it is tried again: nobody knows yet whether a person is needed", attention, present("provisioning", ""), nil},
		{
			"a person is needed no more, and the key is ready", attention, present("issued", ""),
			[]string{TypeRecovered, TypeReady},
		},
		{
			"a person is needed no more, and the key waits", attention, present("waiting", "no_room_assigned"),
			[]string{TypeRecovered},
		},
		{
			"a person is needed no more: it is cancelled", attention, present("revoked", ""),
			[]string{TypeRecovered, TypeRevoked},
		},
		{
			"a person is no longer needed: it is over", attention, present("expired", ""),
			[]string{TypeRecovered, TypeExpired},
		},
		{"cancelled, and still being removed", ready, present("revoking", ""), nil},
		{"nothing is left", ready, present("revoked", ""), []string{TypeRevoked}},
		{
			"a key that was never reported is removed: an earlier message may be under way",
			Reported{},
			present("revoked", ""),
			[]string{TypeRevoked},
		},
		{"still nothing is left", Reported{Over: "revoked"}, present("revoked", ""), nil},
		{"the stay is over", ready, present("expired", ""), []string{TypeExpired}},
		{"it is cancelled after it was over", Reported{Over: "expired"}, present("revoked", ""), []string{TypeRevoked}},
		{"reinstated", Reported{Over: "revoked"}, present("issued", ""), []string{TypeReady}},
		{"a link that a gate holds is not ready", Reported{}, altered(closedGate("link")), nil},
		{"a link that a gate holds again is not ready any more", ready, altered(closedGate("link")), nil},
		{
			"a gate took the key away", ready, altered(func(p *situation) { *p = present("waiting", "gate_closed") }),
			[]string{TypeRevoked},
		},
		{
			"a gate took away a key that had needed a person",
			Reported{Had: true, Attention: true, Reason: "x"},
			present("waiting", "gate_closed"),
			[]string{TypeRecovered, TypeRevoked},
		},
		{
			"a gate is closed a day before",
			Reported{},
			at(24*time.Hour, present("waiting", "gate_closed")),
			[]string{TypeWithheld},
		},
		{
			"a gate is closed more than a day before",
			Reported{},
			at(24*time.Hour+time.Millisecond, present("waiting", "gate_closed")), nil,
		},
		{
			"a gate holds a link two hours before",
			Reported{},
			at(2*time.Hour, altered(closedGate("link"))),
			[]string{TypeWithheld},
		},
		{
			"a gate closed again under a key", ready, at(time.Hour, present("attention", "gate_closed")),
			[]string{TypeAttention, TypeWithheld},
		},
		{
			"another person is needed for",
			Reported{Attention: true, Reason: "x"},
			at(time.Hour, present("waiting", "gate_closed")),
			[]string{TypeRecovered, TypeWithheld},
		},
		{
			"everything at once",
			Reported{Attention: true, Reason: "x", Had: true},
			at(time.Hour, present("waiting", "gate_closed")),
			[]string{TypeRecovered, TypeRevoked, TypeWithheld},
		},
		{
			"the deadline was reported",
			Reported{GateDeadline: "24h0m0s before 2024-11-01T15:00:00.000Z"},
			at(3*time.Hour, present("waiting", "gate_closed")), nil,
		},
		{
			"the next deadline",
			Reported{GateDeadline: "24h0m0s before 2024-11-01T15:00:00.000Z"},
			at(2*time.Hour, present("waiting", "gate_closed")),
			[]string{TypeWithheld},
		},
		{
			"a deadline of another check-in",
			Reported{GateDeadline: "24h0m0s before 2024-11-09T15:00:00.000Z"},
			at(3*time.Hour, present("waiting", "gate_closed")),
			[]string{TypeWithheld},
		},
		{"no gate is closed", Reported{}, present("issued", ""), []string{TypeReady}},
		{
			"a gate is closed and the reservation is cancelled",
			Reported{},
			at(time.Hour, present("revoked", "")),
			[]string{TypeRevoked},
		},
		{
			"a gate is closed and the stay is over",
			Reported{},
			at(time.Hour, present("expired", "")),
			[]string{TypeExpired},
		},
		{"prolonged after it was over", Reported{Over: "expired"}, present("issued", ""), []string{TypeReady}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			reported, sequence := tt.reported, int64(0)
			for range steps {
				e, _ := walk(reported, tt.present, func(string) bool { return true })
				if e == nil {
					break
				}
				n := number(e, tt.present, sequence)
				if n <= sequence || n > tt.present.Sequence {
					t.Errorf("%s has sequence %d after %d, at most %d", e.kind, n, sequence, tt.present.Sequence)
				}
				got, reported, sequence = append(got, e.kind), e.then, n
			}
			if !slices.Equal(got, tt.all) {
				t.Errorf("events %v, want %v", got, tt.all)
			}
		})
	}
}

// A key that waits for a room, or for its listing's doors, is not ready; when it is, that is reported as such.
func TestReadyAgainAfterWaiting(t *testing.T) {
	t.Parallel()
	waits := present("waiting", "no_room_assigned")
	waits.ACSUserID = text("u1")
	e, reported := walk(Reported{Ready: true, Key: issuedKey}, waits, func(string) bool { return true })
	if e != nil || !reported.equal(Reported{Had: true}) {
		t.Fatalf("waiting is reported as %+v, leaving %+v", e, reported)
	}
	if e, _ := walk(reported, present("issued", ""), func(string) bool { return true }); e == nil ||
		e.kind != TypeReady {
		t.Errorf("after waiting: %+v, want ready", e)
	}
}

func TestSubscriptionsHearOnlyWhatTheyChose(t *testing.T) {
	t.Parallel()
	only := func(types ...string) func(string) bool {
		return func(kind string) bool { return slices.Contains(types, kind) }
	}
	tests := []struct {
		name     string
		reason   string
		reported Reported
		perhaps  []Reported
		present  situation
		wants    func(string) bool
		want     string
	}{
		{
			"guest app", "the end of an attention that it doesn't hear of leads to ready",
			Reported{Attention: true},
			nil,
			present("issued", ""), only(TypeReady, TypeRevoked), TypeReady,
		},
		{
			"pager", "it must learn that nobody is needed, whatever happened to the key",
			Reported{Attention: true},
			nil,
			present("expired", ""), only(TypeAttention, TypeRecovered), TypeRecovered,
		},
		{
			"nothing for it", "an expiry alone",
			Reported{Ready: true, Key: issuedKey},
			nil, present("expired", ""),
			only(TypeReady), "",
		},
		{
			"an attention that may have arrived", "its answer was lost, and it was over before the next try",
			Reported{Ready: true, Key: issuedKey},
			[]Reported{{Attention: true, Reason: "not_subscribed"}},
			present("issued", ""), only(Types()...), TypeRecovered,
		},
		{
			"a ready that was never confirmed", "the newest state is reported as ready, not as changed",
			Reported{},
			[]Reported{{Ready: true, Key: Key{Listing: "L0"}}},
			present("issued", ""), only(Types()...), TypeReady,
		},
		{
			"a change that was taken back", "the receiver may have heard of it",
			Reported{Ready: true, Key: issuedKey},
			[]Reported{{Ready: true, Key: Key{Listing: "L2"}}},
			present("issued", ""), only(Types()...), TypeChanged,
		},
		{
			"recovered, unconfirmed", "it is tried until it arrives, although the key is reported as ready",
			Reported{Ready: true, Key: issuedKey},
			[]Reported{{Attention: true}, {Ready: true, Key: issuedKey}},
			present("issued", ""), only(Types()...), TypeRecovered,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, _ := decide(tt.reported, tt.perhaps, tt.present, tt.wants)
			got := ""
			if e != nil {
				got = e.kind
			}
			if got != tt.want {
				t.Errorf("%s: event %q, want %q", tt.reason, got, tt.want)
			}
		})
	}
}

// Whatever was reported first, and whatever of the unconfirmed messages arrived, the end is the same: there is nothing
// more to send, and the receiver believes what is true.
func TestDeliveryEnds(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- a test
	one := func(of ...string) string { return of[random.IntN(len(of))] }
	states := []Reported{
		{},
		{Ready: true, Key: issuedKey},
		{Ready: true, Key: Key{Listing: "L0"}},
		{Attention: true, Reason: "a"},
		{Attention: true, Reason: "b"},
		{Over: "revoked"},
		{Over: "expired"},
	}
	draw := func() Reported {
		state := states[random.IntN(len(states))]
		if state.Ready && random.IntN(2) == 0 {
			state.Risk = one("e1 offline", "e2 low_battery")
		}
		state.Used = one("", "2024-11-01T15:00:00.000Z")
		return state
	}
	for i := range 20_000 {
		reported := draw()
		var perhaps []Reported
		for range random.IntN(4) {
			perhaps = withPerhaps(perhaps, draw())
		}
		heard := beliefOf(append(slices.Clone(perhaps), reported)[random.IntN(len(perhaps)+1)])
		status := one("waiting", "issued", "active", "attention", "revoked", "expired")
		p := present(status, map[bool]string{true: "a"}[status == "attention"])
		p.CheckIn = &starts
		if random.IntN(3) == 0 {
			p.Closed = []stay.Gate{{GateRule: stay.GateRule{Name: "paid", Holds: stay.HoldsKey}}}
		}
		if random.IntN(3) == 0 {
			p.DoorUse.FirstUsedAt = &starts
		}
		if random.IntN(3) == 0 {
			p.DoorsAtRisk = []stay.DoorProblem{{EntranceID: "e1", Problem: "offline"}}
		}
		from := fmt.Sprintf("case %d: %s, %d gates closed, from %+v and %+v, heard %+v", i, status, len(p.Closed),
			reported, perhaps, heard)
		var sent []string
		for {
			e, _ := decide(reported, perhaps, p, func(string) bool { return true })
			if e == nil {
				break
			}
			if sent = append(sent, e.kind); len(sent) > steps {
				t.Fatalf("%s: %v is sent without end", from, sent)
			}
			reported, perhaps = e.then, nil // delivered
			heard.hear(e)
		}
		if diff := heard.differs(p); diff != "" {
			t.Fatalf("%s: after %v it believes %+v: %s", from, sent, heard, diff)
		}
	}
}

// A key that a receiver may have heard of, although the answer was lost, is not forgotten by what comes between: if a
// gate takes it away, that is reported.
func TestAKeyThatWasPerhapsReportedIsTakenAway(t *testing.T) {
	t.Parallel()
	all := func(string) bool { return true }
	closed := func(p situation) situation {
		p.Closed = []stay.Gate{{GateRule: stay.GateRule{Name: "paid", Holds: stay.HoldsKey}}}
		return p
	}
	kept := present("waiting", "no_room_assigned")
	kept.ACSUserID = text("u1")
	for name, between := range map[string]situation{
		"a gate holds the issued key back": closed(present("issued", "")),
		"the stay waits with its key":      kept,
		"a person is needed":               present("attention", "forbidden"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reported, perhaps := Reported{}, []Reported{{Ready: true, Key: issuedKey}}
			var sent []string
			for _, p := range []situation{between, closed(present("waiting", "gate_closed"))} {
				for range steps {
					e, base := decide(reported, perhaps, p, all)
					if reported, perhaps = base, nil; e == nil {
						break
					}
					reported = e.then // delivered
					sent = append(sent, e.kind)
				}
			}
			if !slices.Contains(sent, TypeRevoked) {
				t.Errorf("after an unconfirmed ready: %v, want revoked among them", sent)
			}
		})
	}
}

// Whatever happens to a stay, and whichever messages and answers are lost on the way, a receiver believes what is true
// once messages arrive again.
func TestLostAnswersLeaveNoWrongBelief(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4)) // #nosec G404 -- a test
	all := func(string) bool { return true }
	for i := range 20_000 {
		var reported Reported
		var perhaps []Reported
		var heard belief
		var history []string
		for range 1 + random.IntN(5) {
			p := anyPresent(random)
			history = append(history, fmt.Sprintf("%s, %d gates closed:", p.KeyStatus, len(p.Closed)))
			for range random.IntN(3) {
				e, base := decide(reported, perhaps, p, all)
				if reported = base; e == nil {
					perhaps = nil
					break
				}
				arrives, answered := random.IntN(2) == 0, false
				if arrives {
					heard.hear(e)
					answered = random.IntN(2) == 0
				}
				if perhaps = withPerhaps(perhaps, e.then); answered {
					reported, perhaps = e.then, nil
				}
				history = append(history, fmt.Sprint(e.kind, map[bool]string{true: " arrives"}[arrives],
					map[bool]string{true: " and is confirmed"}[answered]))
			}
		}
		p := anyPresent(random)
		history = append(history, fmt.Sprintf("at last %s, %d gates closed:", p.KeyStatus, len(p.Closed)))
		for range steps {
			e, _ := decide(reported, perhaps, p, all)
			if e == nil {
				break
			}
			reported, perhaps = e.then, nil
			heard.hear(e)
			history = append(history, e.kind)
		}
		if diff := heard.differs(p); diff != "" {
			t.Fatalf("case %d: %s is wrong, it believes %+v:\n%s", i, diff, heard, strings.Join(history, "\n"))
		}
	}
}

// anyPresent is a stay in any settled state; waiting ones have no ACS user.
func anyPresent(random *rand.Rand) situation {
	one := func(of ...string) string { return of[random.IntN(len(of))] }
	status := one("waiting", "issued", "active", "attention", "revoked", "expired")
	p := present(status, map[bool]string{true: one("a", "b")}[status == "attention"])
	p.CheckIn = &starts
	if random.IntN(3) == 0 {
		p.Closed = []stay.Gate{{GateRule: stay.GateRule{Name: "paid", Holds: stay.HoldsKey}}}
	}
	if random.IntN(3) == 0 {
		p.DoorsAtRisk = []stay.DoorProblem{{EntranceID: "e1", Problem: one("offline", "battery_low")}}
	}
	return p
}

// belief is what a receiver concludes from the messages that it heard.
type belief struct{ attention, ready, over, risk string }

func beliefOf(r Reported) belief {
	b := belief{over: r.Over, risk: r.Risk}
	if r.Attention {
		b.attention = "needed for " + r.Reason
	}
	if r.Ready {
		b.ready = r.Key.Listing
	}
	return b
}

func (b *belief) hear(e *event) {
	switch e.kind {
	case TypeReady, TypeChanged:
		*b = belief{ready: e.then.Key.Listing, attention: b.attention, risk: b.risk}
	case TypeAttention:
		*b = belief{attention: "needed for " + e.then.Reason}
	case TypeRecovered:
		b.attention, b.risk = "", e.then.Risk
	case TypeRevoked, TypeExpired:
		*b = belief{over: e.then.Over}
	case TypeAtRisk:
		b.risk = e.then.Risk
	}
}

// differs is what is wrong about a belief; "" for nothing.
func (b *belief) differs(p situation) string {
	switch status := settled(p); {
	case (b.attention != "") != (status == stay.KeyAttention):
		return "whether a person is needed"
	case status == stay.KeyAttention && b.attention != "needed for "+stay.Text(p.Reason):
		return "what the person is needed for"
	case status == stay.KeyIssued && (b.ready != "L1" || b.risk != riskOf(p.DoorsAtRisk)):
		return "the key, or its doors"
	case (status == stay.KeyRevoked || status == stay.KeyExpired) && b.over != status:
		return "whether the key is over"
	case status == stay.KeyWaiting && p.ACSUserID == nil && b.ready != "":
		return "whether there is a key"
	}
	return ""
}

// A message's number is the stay's, unless the last message has that already.
func TestNumbersOfMessages(t *testing.T) {
	t.Parallel()
	two := present("attention", "gate_closed")
	checkIn := starts
	two.Closed, two.CheckIn, two.Now = []stay.Gate{{GateRule: stay.GateRule{Name: "paid", Holds: stay.HoldsKey}}},
		&checkIn, starts.Add(-time.Hour)
	for _, c := range []struct {
		what string
		p    situation
		last int64
		want []int64
	}{
		{"one message", present("issued", ""), 0, []int64{10}},
		{"one message after another", present("issued", ""), 9, []int64{10}},
		{"the configuration has changed what is true", present("issued", ""), 10, []int64{11}},
		{"two messages, the last one long ago", two, 3, []int64{9, 10}},
		{"two messages of one change", two, 9, []int64{10, 11}},
	} {
		reported, last := Reported{}, c.last
		var got []int64
		for range steps {
			e, _ := walk(reported, c.p, func(string) bool { return true })
			if e == nil {
				break
			}
			last = number(e, c.p, last)
			got, reported = append(got, last), e.then
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: numbers %v, want %v", c.what, got, c.want)
		}
	}
}

// What a message is made of can't hold a guest's data: its fields are these, and no others.
func TestBodyHasNoGuestData(t *testing.T) {
	t.Parallel()
	p := present("issued", "")
	p.GuestName, p.Message, p.ListingName = text("Jane Doe"), text("Key of jane@example.com, +34600111222"),
		text("Casa Jane")
	e, _ := walk(Reported{}, p, func(string) bool { return true })
	got := string(body(e, p, "https://keys.example.com/v1/reservations/default/R1", number(e, p, 0)))
	for _, secret := range []string{"Jane", "jane", "@", "+34"} {
		if strings.Contains(got, secret) {
			t.Errorf("the body holds %q: %s", secret, got)
		}
	}
	want := `{"type":"mobile_key.ready","timestamp":"2024-11-01T15:00:00.000Z","data":{"source":"default","reservation_id":"R1","listing_id":"L1",` +
		`"reservation_status":"confirmed","key_status":"issued","reason":null,"access_schedule":{"starts_at":"2024-11-01T15:00:00.000Z","ends_at":"2024-11-04T11:00:00.000Z"},` +
		`"acs_access_group_ids":["g2","g1"],"gates":[],"sequence":10,"url":"https://keys.example.com/v1/reservations/default/R1"}}`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
}

func TestToldSurvivesItsStorage(t *testing.T) {
	t.Parallel()
	for _, reported := range []Reported{
		{},
		{Ready: true, Key: issuedKey},
		{Attention: true, Reason: "a"},
		{Over: "revoked"},
	} {
		var back Reported
		if err := json.Unmarshal(encode(reported), &back); err != nil || !back.equal(reported) {
			t.Errorf("%+v came back as %+v, %v", reported, back, err)
		}
	}
}

func TestUnconfirmedStatesAreBounded(t *testing.T) {
	t.Parallel()
	var perhaps []Reported
	for i := range 50 {
		perhaps = withPerhaps(perhaps, Reported{Attention: true, Reason: fmt.Sprint(i)})
	}
	if len(perhaps) != perhapsAtMost || perhaps[0].Reason != "0" || perhaps[len(perhaps)-1].Reason != "49" {
		t.Errorf("remembered %+v", perhaps)
	}
}
