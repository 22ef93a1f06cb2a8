// Package guest is the guest's side of a stay: a link of its own, and what brings its mobile key to a phone. That is a
// Seam instant key, created when the guest taps the link's button, or a client session for an app with Seam's SDK.
//
// Anyone who has one of these has the key. So each belongs to a user identity that only this stay has, is recorded
// by its id before anybody gets it, and is taken back when the key is removed, when the guest changes, or on
// request:
//
//	Open, AppSession:  lease ─▶ judge, mark ─▶ call Seam ─▶ judge again, record ─▶ hand out     open.go, session.go
//	Run:               due ─▶ lease ─▶ what no longer holds is deleted at Seam ─▶ forget        cleaner.go, cleaner_search.go
//
// Both hold the lease on the stay, so that one process at a time makes or deletes. Judging and recording happen in
// one transaction that has the stay's key locked: what ends the key comes after it, finds the record, and has it
// taken back (the triggers of migration 00030). Neither a URL nor a token is ever stored: an instant key's URL is
// read from Seam again.
package guest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Limits of what is handed out.
const (
	// OpeningsAnHour is how often a link's button gives the guest a key within an hour.
	OpeningsAnHour = 10
	// usesOfKey is how often one instant key is handed out, and how often Seam lets it be opened: by a family with
	// several phones, and again.
	usesOfKey = 10
	// spare is how long an instant key must last to be handed out once more.
	spare = 2 * time.Minute
	// sessionLife is how long an app's session lasts before the app asks again, at most as long as the stay.
	sessionLife = 24 * time.Hour
)

// Errors that a caller acts on, in addition to [NotReadyError] and [LimitError].
var (
	ErrUnknown = errors.New("there is no such link")
	ErrGone    = errors.New("the link has expired: the stay is over, was cancelled, or belongs to another guest")
	ErrBusy    = errors.New("the same key is being handed out right now")
	// ErrUnavailable is Seam or the database not answering. What a lost call may have left at Seam is looked for
	// and deleted.
	ErrUnavailable = errors.New("no answer from Seam now")
)

// NotReadyError means that a stay's key can't be handed out, and why.
type NotReadyError struct{ Page Page }

// Reason returns the reason for programs: the key's reason if it has one.
func (e *NotReadyError) Reason() string {
	switch {
	case e.Page.OnHold:
		return stay.ReasonHeld
	case e.Page.Reason != nil:
		return *e.Page.Reason
	case e.Page.Readiness == Withheld:
		return stay.ReasonGateClosed
	case e.Page.Shared:
		return ReasonSharedIdentity
	}
	return e.Page.Status
}

// ReasonSharedIdentity is the reason of a key whose user identity may show the keys of other stays.
const ReasonSharedIdentity = "identity_shared"

// Explain returns the reason, worded for the property's staff.
func (e *NotReadyError) Explain() string {
	status := e.Page.Status
	if e.Page.Reason != nil {
		status += " / " + *e.Page.Reason
	}
	switch e.Page.Readiness {
	case Preparing:
		return "it is being created or changed (" + status + ")"
	case Withheld:
		return "gates are not open: " + strings.Join(e.Page.Gates, ", ") + " (" + status + ")"
	case Ask:
		if e.Page.OnHold {
			return "an admin holds the reservation, and nothing is created until it is released (" + status + ")"
		}
		if e.Page.Shared {
			return "its user identity is not this stay's alone, because the key is older than the links: reissue it"
		}
		fallthrough
	default:
		return "it is " + status
	}
}

// RetryAfter is when to try again after [ErrBusy] or [ErrUnavailable].
const RetryAfter = 3 * time.Second

// Error implements error.
func (e *NotReadyError) Error() string { return "the key is not ready: " + string(e.Page.Readiness) }

// LimitError means that a link was used too often.
type LimitError struct{ After time.Duration }

// Error implements error.
func (e *LimitError) Error() string {
	return fmt.Sprintf("the link was used %d times within an hour", OpeningsAnHour)
}

// Options of a service. Zero durations take the defaults.
type Options struct {
	// called at each marked step, where a test ends a process; nil for nothing
	Reached func(point.Name)
	// where guests reach the public listener; "" while no source has links
	PublicURL string
	Salt      string // of identity keys, as the provisioner has it
	LinkSalt  string // of links; together with Secret it derives them
	// is not in the database, so that a copy of that is not enough to open doors
	Secret  string
	Source  func(name string) pms.Source // required
	Now     func() time.Time             // default time.Now
	ReadLag time.Duration                // how long Seam's reads may lag its writes, default 5 s
	// how long a killed process delays others, default 20 s; more than a call takes
	Lease time.Duration
	// how often to look for due work without a wake-up, default 1 s
	PollEvery time.Duration
	// how long a caller waits for another one who has the lease, default 10 s
	Patience time.Duration
	After    func(d time.Duration) <-chan time.Time // what waits, default time.After
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	set(&o.ReadLag, 5*time.Second)
	set(&o.Lease, 20*time.Second)
	set(&o.PollEvery, time.Second)
	set(&o.Patience, 10*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.After == nil {
		o.After = time.After
	}
	return o
}

// Service is safe for concurrent use; any number of them may share a database and a workspace.
type Service struct {
	store   *store.Store
	seam    *seam.Client
	log     *slog.Logger
	options Options
	salt    []byte
	linkKey []byte
	sealer  stay.Sealer // of backup codes
	wake    chan struct{}
}

// New returns a service that hands out keys at once, and takes them back while [Service.Run] runs.
func New(s *store.Store, client *seam.Client, log *slog.Logger, options Options) *Service {
	key := hmac.New(sha256.New, []byte(options.LinkSalt))
	_, _ = key.Write([]byte("staykey guest links " + options.Secret))
	return &Service{
		store: s, seam: client, log: log, options: options.withDefaults(), salt: []byte(options.Salt),
		linkKey: key.Sum(nil), sealer: stay.NewSealer(options.Secret), wake: make(chan struct{}, 1),
	}
}

func (s *Service) now() time.Time { return s.options.Now().UTC() }

// reach marks a step at which a process that dies leaves something half done.
func (s *Service) reach(name point.Name) {
	point.Reach(name)
	if s.options.Reached != nil {
		s.options.Reached(name)
	}
}

// Wake makes the service look for due work at once. It never blocks.
func (s *Service) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// guestKey stands for the guest of an address, as in [store.ACSUser].
func (s *Service) guestKey(email *string) string {
	if email == nil {
		return ""
	}
	return stay.GuestKey(s.salt, pms.GuestAddress(*email))
}

// lease waits for the lease on a stay. until is by this process's clock, and before the lease ends by the database's.
func (s *Service) lease(ctx context.Context, ref stay.Ref) (l store.GuestLease, until time.Time, err error) {
	deadline := s.options.After(s.options.Patience)
	for {
		asked := time.Now()
		l, ok, err := s.store.GuestStays.TakeLease(ctx, ref, s.options.Lease)
		if err != nil || ok {
			return l, asked.Add(s.options.Lease), err
		}
		select {
		case <-ctx.Done():
			return l, until, ErrBusy
		case <-deadline:
			return l, until, ErrBusy
		case <-s.options.After(leasePoll):
		}
	}
}

// leasePoll is how often a caller that waits for a lease looks.
const leasePoll = 100 * time.Millisecond

// drop releases a lease, even if the request has ended.
func (s *Service) drop(ctx context.Context, l store.GuestLease) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.store.Within(commitTimeout))
	defer cancel()
	if err := s.store.GuestStays.DropLease(ctx, l); err != nil {
		s.log.Warn("guest lease not released: it will expire", "error", err)
	}
}

// commitTimeout bounds the writing of what Seam has done. It doesn't end with the request.
const commitTimeout = 5 * time.Second

// guarded lets calls made with the context leave only while their deadline is before the lease's end: after that
// another process may take them for lost, and look for what they have left.
func (s *Service) guarded(ctx context.Context, until time.Time) context.Context {
	return seam.WithGuard(ctx, func() error {
		if time.Now().Add(s.seam.Timeout()).After(until) {
			return errors.New("the lease on the stay ends too soon for a call")
		}
		return nil
	})
}

// calls collects the requests to Seam for the timeline.
type calls struct {
	ref     stay.Ref
	entries []store.Entry
}

// because records the calls made with the context with their reason. No path or error of them holds a URL or
// token.
func (c *calls) because(ctx context.Context, reason string) context.Context {
	return seam.WithRecorder(ctx, func(call seam.Call) {
		result := "ok"
		detail := map[string]any{
			"path": call.Path, "reason": reason, "request_id": call.RequestID,
			"duration_ms": call.Duration.Milliseconds(), "status": call.Status,
		}
		if call.Err != nil {
			result = seam.KindOf(call.Err).String()
			detail["error"] = call.Err.Error()
		}
		detail["result"] = result
		c.entries = append(c.entries, store.Entry{
			Ref: c.ref, At: call.At.UTC(), Kind: stay.TimelineRequest,
			Summary: call.Path + ": " + result, Detail: detail,
		})
	})
}

// note adds a line to the timeline.
func (c *calls) note(at time.Time, summary string, detail map[string]any) {
	c.entries = append(c.entries, store.Entry{
		Ref: c.ref, At: at, Kind: stay.TimelineStep,
		Summary: summary, Detail: detail,
	})
}
