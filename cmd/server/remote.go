package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/app"
	"github.com/staykey/staykey/internal/config"
	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/handlers/rest"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// remote is a running service, as commands for admins reach it.
type remote struct {
	URL       string `env:"STAYKEY_URL" placeholder:"URL" default:"http://127.0.0.1:8080" help:"The running service; default ${default}."`
	TokenFile string `placeholder:"FILE" help:"File with the token; default: STAYKEY_TOKEN, else STAYKEY_ADMIN_TOKEN."`
	JSON      bool   `name:"json" help:"Print the service's answer as JSON."`
}

// remoteTimeout is how long the service may take: a diagnosis asks Seam and itself.
const remoteTimeout = 45 * time.Second

// get asks the service. raw is its answer, and date the time of its clock.
func (r remote) get(ctx context.Context, path string, query url.Values, into any) (raw []byte,
	date time.Time, err error,
) {
	return r.call(ctx, http.MethodGet, path, query, nil, into)
}

// call asks the service, with a body of JSON unless body is nil, and decodes its answer into into.
func (r remote) call(ctx context.Context, method, path string, query url.Values, body, into any) (raw []byte,
	date time.Time, err error,
) {
	ctx, cancel := context.WithTimeout(ctx, remoteTimeout)
	defer cancel()
	req, err := r.request(ctx, method, path, query, body)
	if err != nil {
		return nil, date, err
	}

	resp, err := http.DefaultClient.Do(req) // #nosec G704 -- the admin's own service
	if err != nil {
		return nil, date, fmt.Errorf(
			"%s can't be reached: check that the service runs and that STAYKEY_URL is right: %w", r.URL, unwrapURL(err))
	}
	defer func() { _ = resp.Body.Close() }()

	date, _ = http.ParseTime(resp.Header.Get("Date"))
	if raw, err = io.ReadAll(io.LimitReader(resp.Body, 64<<20)); err != nil {
		return nil, date, fmt.Errorf("read what %s answers: %w", r.URL, err)
	}

	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, date, refusal(r.URL, resp, raw)
	}
	if err := r.decode(raw, into); err != nil {
		return nil, date, fmt.Errorf("%s does not answer like staykey: %w", r.URL, err)
	}
	return raw, date, nil
}

func (r remote) request(ctx context.Context, method, path string, query url.Values, body any) (*http.Request, error) {
	target := strings.TrimRight(r.URL, "/") + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}

	var sent io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		sent = bytes.NewReader(encoded)
	}

	req, err := http.NewRequestWithContext(ctx, method, target, sent)
	if err != nil {
		return nil, config.Problems{fmt.Sprintf("STAYKEY_URL: %q must be a URL such as http://127.0.0.1:8080", r.URL)}
	}

	token, err := config.AdminToken(r.TokenFile, r.URL)
	if err != nil {
		return nil, err
	}
	if token == "" {
		return nil, config.Problems{"STAYKEY_TOKEN: is required for " + r.URL}
	}

	req.Header.Set("Authorization", "Bearer "+token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// decode reads an answer. What is shown in a terminal has its control characters escaped; --json prints the answer
// itself.
func (r remote) decode(raw []byte, into any) error {
	if r.JSON {
		return json.Unmarshal(raw, into)
	}
	shown, err := visibleJSON(raw)
	if err != nil {
		return err
	}
	return json.Unmarshal(shown, into)
}

func unwrapURL(err error) error {
	if u := new(url.Error); errors.As(err, &u) {
		return u.Err
	}
	return err
}

// refusal words a problem of the service.
func refusal(address string, resp *http.Response, raw []byte) error {
	var p handlers.Problem
	if json.Unmarshal(raw, &p) != nil || p.Detail == "" {
		return fmt.Errorf("%s answers %s, and not like staykey: check STAYKEY_URL", address, resp.Status)
	}
	if resp.StatusCode == http.StatusUnauthorized {
		return fmt.Errorf("%s refuses the token: set STAYKEY_TOKEN to a token from its STAYKEY_ADMIN_TOKEN or config file", address)
	}
	text := p.Detail
	for _, e := range p.Errors {
		text += "\n" + e.Field + ": " + e.Message
	}
	return errors.New(pms.Plain(text))
}

// show prints the raw answer, or a table.
func (r remote) show(out io.Writer, raw []byte, table func(w io.Writer)) error {
	if r.JSON {
		var b bytes.Buffer
		if err := json.Indent(&b, escapedJSON(raw), "", "  "); err != nil {
			return err
		}
		_, err := fmt.Fprintln(out, b.String())
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	table(w)
	return w.Flush()
}

func orDash(s *string) string {
	if s == nil || *s == "" {
		return "-"
	}
	return *s
}

// query collects parameters that were given.
func query(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

type reservationsCommand struct {
	Query     string `arg:"" optional:"" help:"Words of the id, listing id, e-mail address, name or phone number, with or without accents."`
	Source    string `help:"Only this source; several separated by commas." placeholder:"NAME"`
	Key       string `name:"key" help:"Only with this key status, such as waiting or attention; several separated by commas." placeholder:"STATUS"`
	Status    string `help:"Only confirmed or cancelled." placeholder:"STATUS"`
	Listing   string `help:"Only this listing." placeholder:"ID"`
	Email     string `help:"Only this guest." placeholder:"ADDRESS"`
	CheckInTo string `name:"check-in-to" help:"Only with check-in before this instant, or day of the property." placeholder:"WHEN"`
	From      string `name:"check-in-from" help:"Only with check-in at or after this instant, or day of the property." placeholder:"WHEN"`
	OutTo     string `name:"check-out-to" help:"Only with check-out before this instant, or day of the property." placeholder:"WHEN"`
	OutFrom   string `name:"check-out-from" help:"Only with check-out at or after this instant, or day of the property." placeholder:"WHEN"`
	Since     string `name:"updated-since" help:"Only changed at or after this instant." placeholder:"WHEN"`
	Undated   bool   `help:"Only stays that are not over and whose check-in or check-out is unknown."`
	Sort      string `help:"-updated_at (default): newest change first. check_in: earliest check-in first." placeholder:"ORDER"`
	Limit     int    `default:"50" help:"Maximum number, 1 to 500; default ${default}."`
	Cursor    string `help:"Continue from this next_cursor."`
	Remote    remote `embed:""`
}

// Run lists reservations.
func (c *reservationsCommand) Run(ctx context.Context, out *streams) error {
	var list rest.List[rest.Reservation]
	raw, _, err := c.Remote.get(ctx, "/v1/reservations", query("q", c.Query, "source", c.Source, "key_status", c.Key,
		"status", c.Status, "listing_id", c.Listing,
		"guest_email", c.Email, "check_in_from", c.From, "check_in_to", c.CheckInTo, "check_out_from", c.OutFrom,
		"check_out_to", c.OutTo, "updated_since", c.Since, "sort", c.Sort, "limit", strconv.Itoa(c.Limit),
		"cursor", c.Cursor, "undated", flagValue(c.Undated)), &list)
	if err != nil {
		return err
	}
	return showList(c.Remote, out.out, raw, list, "SOURCE\tRESERVATION\tKEY\tREASON\tCHECK-IN\tLISTING\tGUEST",
		func(w io.Writer, r rest.Reservation) {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Source, r.ReservationID, r.MobileKey.Status,
				orDash(r.MobileKey.Reason), orDash(r.CheckIn), orDash(r.ListingID), orDash(r.GuestEmail))
		})
}

// flagValue is the value of a parameter that a flag sets; "" for none.
func flagValue(set bool) string {
	if !set {
		return ""
	}
	return "true"
}

// showList prints one page of a list: its header, a line for each item, and how to get the next page.
func showList[T any](r remote, out io.Writer, raw []byte, list rest.List[T], header string,
	line func(io.Writer, T),
) error {
	return r.show(out, raw, func(w io.Writer) {
		if len(list.Items) == 0 {
			_, _ = fmt.Fprintln(w, "no results")
			return
		}
		_, _ = fmt.Fprintln(w, header)
		for _, item := range list.Items {
			line(w, item)
		}
		if list.NextCursor != nil {
			_, _ = fmt.Fprintf(w, "\nmore: --cursor %s\n", *list.NextCursor)
		}
	})
}

type reservationCommand struct {
	Source string `arg:"" help:"The source, such as default."`
	ID     string `arg:"" help:"The reservation's id."`
	Remote remote `embed:""`
}

// timelineShown is how many entries of a timeline are shown, the latest ones.
const timelineShown = 1000

// history is what is shown of one reservation.
type shownReservation struct {
	Reservation rest.Reservation    `json:"reservation"`
	Overrides   rest.Overrides      `json:"overrides"`
	Timeline    []rest.TimelineItem `json:"timeline"`
	Plan        []stay.PlannedCall  `json:"plan"`
	PlanError   string              `json:"plan_error,omitempty"`
}

// Run tells one reservation's history.
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
	if _, _, err := c.Remote.get(ctx, path+"/timeline", query("limit", strconv.Itoa(timelineShown)),
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
	settled := slices.Contains([]string{store.KeyIssued, store.KeyActive, store.KeyRevoked, store.KeyExpired}, status)
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

type eventsCommand struct {
	Source      string `help:"Only this source; several separated by commas." placeholder:"NAME"`
	Status      string `help:"Only accepted, applied, superseded, ignored or rejected; several separated by commas." placeholder:"STATUS"`
	Type        string `help:"Only this type; several separated by commas." placeholder:"TYPE"`
	Reservation string `help:"Only about this reservation." placeholder:"ID"`
	Listing     string `help:"Only about this listing." placeholder:"ID"`
	Limit       int    `default:"50" help:"Maximum number, 1 to 500; default ${default}."`
	Cursor      string `help:"Continue from this next_cursor."`
	Remote      remote `embed:""`
}

// Run lists the inbox.
func (c *eventsCommand) Run(ctx context.Context, out *streams) error {
	var list rest.List[rest.Event]
	raw, _, err := c.Remote.get(ctx, "/v1/events", query("source", c.Source, "status", c.Status, "type", c.Type,
		"reservation_id", c.Reservation, "listing_id", c.Listing,
		"limit", strconv.Itoa(c.Limit), "cursor", c.Cursor), &list)
	if err != nil {
		return err
	}
	return showList(c.Remote, out.out, raw, list, "RECEIVED\tSOURCE\tTYPE\tSTATUS\tRESERVATION\tLISTING\tREASON",
		func(w io.Writer, e rest.Event) {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.ReceivedAt, e.Source, e.Type, e.Status,
				orDash(e.ReservationID), orDash(e.ListingID), orDash(e.Reason))
		})
}

type doctorCommand struct {
	Remote remote        `embed:""`
	Wait   time.Duration `placeholder:"DURATION" help:"Wait this long for the service to be ready, such as 2m; exit 3 if it isn't by then."`
}

// exitNotReady is the exit status of a wait that ends before the service is ready.
const exitNotReady = 3

// statusError ends the process with an exit status of its own.
type statusError struct {
	error
	status int
}

// Unwrap implements the interface of [errors.Is].
func (e statusError) Unwrap() error { return e.error }

// waitReady asks /readyz every second until it answers 200, for as long as the command may wait.
func (c *doctorCommand) waitReady(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, c.Wait)
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var last error
	for {
		_, _, err := c.Remote.get(waiting, "/readyz", nil, &struct{}{})
		if err == nil {
			return nil
		}
		if problems := config.Problems(nil); errors.As(err, &problems) {
			return err
		}
		if waiting.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-waiting.Done():
			return statusError{fmt.Errorf("not ready after %s: %w", c.Wait, last), exitNotReady}
		case <-tick.C:
		}
	}
}

// Run has a running service check its configuration against Seam, Postgres and its webhooks. The error says that
// something is wrong.
func (c *doctorCommand) Run(ctx context.Context, out *streams) error {
	if c.Wait > 0 {
		if err := c.waitReady(ctx); err != nil {
			return err
		}
	}
	var d admin.Diagnosis
	asked := time.Now().Truncate(time.Second)
	_, date, err := c.Remote.get(ctx, "/v1/diagnosis", nil, &d)
	if err != nil {
		return err
	}
	if !date.IsZero() {
		clock := app.CompareClocks("this machine and the service", date, asked)
		d.Findings = append(d.Findings, clock)
		d.OK = d.OK && clock.Level != admin.LevelError
	}
	raw, err := json.Marshal(d)
	if err != nil {
		return err
	}
	counts := map[string]int{}
	for _, f := range d.Findings {
		counts[f.Level]++
	}

	err = c.Remote.show(out.out, raw, func(w io.Writer) {
		for _, f := range d.Findings {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s: %s\n", f.Level, strings.ReplaceAll(f.Check, "_", " "),
				f.Subject, f.Message)
			if f.Do != "" {
				_, _ = fmt.Fprintf(w, "\t\t-> %s\n", f.Do)
			}
		}
		_, _ = fmt.Fprintf(w, "\n%d ok, %s, %s\n", counts[admin.LevelOK],
			counted(counts[admin.LevelWarning], "warning"), counted(counts[admin.LevelError], "error"))
	})
	if err == nil && !d.OK {
		return fmt.Errorf("%d of %d checks failed", counts[admin.LevelError], len(d.Findings))
	}
	return err
}

type eraseGuestCommand struct {
	Email  string `arg:"" help:"The guest's e-mail address."`
	Remote remote `embed:""`
}

// Run erases a guest. The error says that nothing was known of the address.
func (c *eraseGuestCommand) Run(ctx context.Context, out *streams) error {
	var e stay.Erasure
	raw, _, err := c.Remote.call(ctx, http.MethodPost, "/v1/guests/erase", nil,
		rest.EraseRequest{GuestEmail: c.Email}, &e)
	if err != nil {
		return err
	}
	err = c.Remote.show(out.out, raw, func(w io.Writer) {
		if e.Found {
			_, _ = fmt.Fprintf(w, "erased: %s, %s, %s; %s\n", counted(e.Reservations, "reservation"),
				counted(e.Bodies, "other event"), counted(e.Waiting, "waiting event"), e.Identity)
		}
	})
	if err == nil && !e.Found {
		return fmt.Errorf("nothing is stored for %s, here or at Seam: check the spelling; it may already be erased",
			c.Email)
	}
	return err
}
