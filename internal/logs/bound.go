// Package logs keeps the volume of the log bounded in an outage, when the same few things fail repeatedly: each
// webhook that is refused, each look into a database that doesn't answer.
//
// It has one type, a [slog.Handler] that wraps another:
//
//	log := slog.New(logs.Bound(slog.NewJSONHandler(os.Stderr, nil)))
//
// The first records of each message are written as they come. If a message becomes frequent, one record a minute stands
// for the rest of them and has the attribute [NotLogged] with their number. So an operator always sees that something
// fails, how often, and the newest example of it. Nothing is held back for longer than a minute, and the first record
// of a new kind is never delayed.
//
// Warnings and errors are bounded, and requests that were refused; other records are not. Records count together if
// their messages are the same but for digits, whatever their attributes. So messages must be constants, with ids and
// errors as attributes. Tests collect records with package logtest.
package logs

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Records of one message are written one by one until there are too many of them in a minute. From then on they are
// counted, and once a minute one record shows the newest of them and how many were not written. It ends with the
// first minute that has few again.
//
//	few ──more than its limit in a minute──▶ counted ──a minute with no more than its limit──▶ few
const (
	window = time.Minute
	// limit is for records that are about the service as a whole.
	limit = 5
	// subjectLimit is for those that name what they are about: a reservation, an event, a delivery.
	subjectLimit = 300
	// mostKinds bounds the memory; messages are constants, but for those of libraries.
	mostKinds = 1000
)

// NotLogged is the attribute with the number of records that were not written.
const NotLogged = "not_logged"

// subjects are the attributes by which a record names what it is about.
var subjects = []string{"reservation_id", "event_id", "delivery_id"}

// StatusClientGone is the status of a request whose client hung up before the answer. Nobody receives it: it
// distinguishes such requests from failures of the service, in the log and in the metrics. nginx uses the same number.
const StatusClientGone = 499

// refusals are the answers that a sender may cause as often as it likes.
var refusals = []int64{
	http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusServiceUnavailable, StatusClientGone,
}

// Bound returns a handler that passes on to next what the bounds allow.
func Bound(next slog.Handler) *Handler {
	return &Handler{next: next, kinds: &kinds{byKey: map[string]*kind{}}}
}

// Handler bounds the records of a log. Handlers that were derived from it share its counts.
type Handler struct {
	next    slog.Handler
	kinds   *kinds
	subject bool // the attributes that it adds name one
	grouped bool // its attributes are in a group
}

type kinds struct {
	mu    sync.Mutex
	byKey map[string]*kind
}

// kind is what is known of the records of one message.
type kind struct {
	limit     int
	n         int  // in this minute
	counting  bool // they are not written
	notLogged int
	next      slog.Handler // of the newest that was not written
	newest    slog.Record
}

// Enabled implements [slog.Handler].
func (h *Handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

// WithAttrs implements [slog.Handler].
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	derived := *h
	derived.next = h.next.WithAttrs(attrs)
	derived.subject = h.subject || !h.grouped && slices.ContainsFunc(attrs, isSubject)
	return &derived
}

// WithGroup implements [slog.Handler].
func (h *Handler) WithGroup(name string) slog.Handler {
	derived := *h
	derived.next, derived.grouped = h.next.WithGroup(name), true
	return &derived
}

// Handle implements [slog.Handler].
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	if !h.isBounded(r) {
		return h.next.Handle(ctx, r)
	}
	if !h.kinds.may(keyOf(r), h.limitOf(r), h.next, r) {
		return nil
	}
	return h.next.Handle(ctx, r)
}

// isBounded reports whether records such as this one are counted.
func (h *Handler) isBounded(r slog.Record) bool {
	if r.Level >= slog.LevelWarn {
		return true
	}
	return r.Message == "request" && isRefusal(r)
}

func isRefusal(r slog.Record) bool {
	refused := false
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "status" {
			return true
		}
		refused = a.Value.Kind() == slog.KindInt64 && slices.Contains(refusals, a.Value.Int64())
		return false
	})
	return refused
}

func isSubject(a slog.Attr) bool { return slices.Contains(subjects, a.Key) }

func (h *Handler) limitOf(r slog.Record) int {
	named := h.subject
	r.Attrs(func(a slog.Attr) bool {
		named = named || isSubject(a)
		return !named
	})
	if named {
		return subjectLimit
	}
	return limit
}

// keyOf is the same for messages that differ only in numbers, such as addresses in those of net/http.
func keyOf(r slog.Record) string {
	return strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' {
			return -1
		}
		return c
	}, r.Message)
}

// may counts a record and reports whether it is written.
func (k *kinds) may(key string, most int, next slog.Handler, r slog.Record) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, known := k.byKey[key]; !known && len(k.byKey) >= mostKinds {
		key = "" // all others are one kind
	}
	s := k.byKey[key]
	if s == nil {
		s = &kind{limit: most}
		k.byKey[key] = s
		time.AfterFunc(window, func() { k.minute(key) })
	}
	s.n++
	if !s.counting && s.n <= s.limit {
		return true
	}
	s.counting = true
	s.notLogged++
	s.next, s.newest = next, r.Clone()
	return false
}

// minute ends a minute of a kind: it writes what was not written, and forgets the kind if there was little.
func (k *kinds) minute(key string) {
	k.mu.Lock()
	s := k.byKey[key]
	if s == nil { // flushed
		k.mu.Unlock()
		return
	}
	summary, next := s.summary()
	if s.n > s.limit {
		s.n = 0
		time.AfterFunc(window, func() { k.minute(key) })
	} else {
		delete(k.byKey, key)
	}
	k.mu.Unlock()
	if next != nil {
		_ = next.Handle(context.Background(), summary) // as slog does
	}
}

// summary is the newest record that was not written, with how many there were; no handler if there were none. They
// count as written then.
func (s *kind) summary() (slog.Record, slog.Handler) {
	if s.notLogged == 0 {
		return slog.Record{}, nil
	}
	r, next := s.newest, s.next
	r.AddAttrs(slog.Int(NotLogged, s.notLogged))
	s.notLogged, s.next, s.newest = 0, nil, slog.Record{}
	return r, next
}

// Flush writes what was counted and not written yet, at the end of a process.
func (h *Handler) Flush() {
	k := h.kinds
	k.mu.Lock()
	kept := k.byKey
	k.byKey = map[string]*kind{}
	k.mu.Unlock()
	for _, s := range kept {
		if summary, next := s.summary(); next != nil {
			_ = next.Handle(context.Background(), summary)
		}
	}
}
