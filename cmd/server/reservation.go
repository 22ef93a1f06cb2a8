package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/staykey/staykey/internal/handlers/rest"
	"github.com/staykey/staykey/internal/stay"
)

type reservationCommand struct {
	Source string `arg:"" help:"The source, such as default."`
	ID     string `arg:"" help:"The reservation's id."`
	Remote remote `embed:""`
}

// timelineShown is how many entries of a timeline are shown, the latest ones.
const timelineShown = 1000

// shownReservation is what is shown of one reservation.
type shownReservation struct {
	Reservation rest.Reservation    `json:"reservation"`
	Overrides   rest.Overrides      `json:"overrides"`
	Timeline    []rest.TimelineItem `json:"timeline"`
	Plan        []stay.PlannedCall  `json:"plan"`
	PlanError   string              `json:"plan_error,omitempty"`
}

// Run shows one reservation with its history.
func (c *reservationCommand) Run(ctx context.Context, out *streams) error {
	path := "/v1/reservations/" + url.PathEscape(c.Source) + "/" + url.PathEscape(c.ID)
	var s shownReservation
	if _, _, err := c.Remote.get(ctx, path, nil, &s.Reservation); err != nil {
		return err
	}
	if _, _, err := c.Remote.get(ctx, path+"/overrides", nil, &s.Overrides); err != nil {
		return err
	}

	var timeline rest.List[rest.TimelineItem]
	if _, _, err := c.Remote.get(ctx, path+"/timeline", url.Values{"limit": {strconv.Itoa(timelineShown)}},
		&timeline); err != nil {
		return err
	}
	s.Timeline = timeline.Items

	var plan rest.PlanOutput
	if _, _, err := c.Remote.get(ctx, path+"/plan", nil, &plan); err != nil {
		s.PlanError = err.Error()
	}
	s.Plan = plan.Items

	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return c.Remote.show(out.out, raw, s.print)
}

// print shows the reservation, its key, what admins decided, the plan and the timeline.
func (s shownReservation) print(w io.Writer) {
	p := reservationPrinter{w}
	p.reservation(s.Reservation)
	p.key(s.Reservation.MobileKey)
	for _, g := range s.Reservation.Gates {
		p.line("gate "+g.Name, "%s, by %s, holds the %s", g.State, orDash(g.By), g.Holds)
	}
	p.decision("held", s.Overrides.Held)
	p.decision("revoked", s.Overrides.Revoked)
	if window := s.Overrides.Window; window != nil {
		p.decision("custom access times", &window.Decision)
		p.line("", "access from %s until %s", cmp.Or(stay.Text(window.StartsAt), "check-in"),
			cmp.Or(stay.Text(window.EndsAt), "check-out"))
	}
	p.plan(s)
	_, _ = fmt.Fprintln(w)
	p.timeline(s.Timeline)
}

// reservationPrinter prints lines of two columns.
type reservationPrinter struct{ w io.Writer }

func (p reservationPrinter) line(name, format string, args ...any) {
	_, _ = fmt.Fprintf(p.w, "%s\t"+format+"\n", append([]any{name}, args...)...)
}

func (p reservationPrinter) reservation(r rest.Reservation) {
	p.line("reservation", "%s/%s, %s", r.Source, r.ReservationID, r.Status)
	p.line("guest", "%s %s", orDash(r.GuestEmail), strings.TrimPrefix(orDash(r.GuestName), "-"))
	p.line("stay", "%s to %s", orDash(r.CheckIn), orDash(r.CheckOut))
	p.line("listing", "%s", orDash(r.ListingID))
}

func (p reservationPrinter) key(k rest.MobileKey) {
	p.line("key", "%s", strings.TrimSuffix(k.Status+", "+orDash(k.Reason), ", -"))
	if k.Message != nil {
		p.line("", "%s", *k.Message)
	}
	if k.LastError != nil {
		p.line("last error", "%s", *k.LastError)
	}
	if k.NextAttemptAt != nil {
		p.line("next attempt", "%s (%d failed so far)", *k.NextAttemptAt, k.Attempts)
	}
	if k.AccessSchedule != nil {
		p.line("access", "%s to %s", k.AccessSchedule.StartsAt, k.AccessSchedule.EndsAt)
	}
}

func (p reservationPrinter) decision(name string, word *rest.Decision) {
	if word != nil {
		p.line(name, "by %s, %s: %s", word.By, word.At, word.Reason)
	}
}

func (p reservationPrinter) plan(s shownReservation) {
	status := s.Reservation.MobileKey.Status
	settled := slices.Contains([]string{stay.KeyIssued, stay.KeyActive, stay.KeyRevoked, stay.KeyExpired}, status)
	switch {
	case s.PlanError != "":
		p.line("plan", "%s", s.PlanError)
	case len(s.Plan) == 0 && settled:
		p.line("plan", "no changes needed")
	case len(s.Plan) == 0:
		p.line("plan", "no changes possible at Seam now: the key is %s", status)
	}
	for i, call := range s.Plan {
		p.line(map[bool]string{true: "plan"}[i == 0], "%s: %s", call.Path, call.Reason)
	}
}

// timeline prints the entries, the oldest first; they come the newest first.
func (p reservationPrinter) timeline(items []rest.TimelineItem) {
	if len(items) >= timelineShown {
		p.line("...", "only the last %d entries are shown", timelineShown)
	}
	for _, item := range slices.Backward(items) {
		why := ""
		if reason, ok := item.Detail["reason"].(string); ok && reason != "" && item.Kind == "seam_request" {
			why = " (" + reason + ")"
		}
		p.line(item.At, "%s%s", item.Summary, why)
	}
}
