// Package guest serves the page of a stay's link: what its guest needs to know, and the button that gives the key. GET
// only shows; only POST, which neither a messenger's preview nor a mail scanner sends, creates anything. The page needs
// no script and no other servers, and neither the link nor the key leaves it through a referrer, a log or a cache.
package guest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/staykey/staykey/internal/guest"
	"github.com/staykey/staykey/internal/handlers"
)

// Links is what the page needs of package guest.
type Links interface {
	// Look returns what to show a link's guest, and creates nothing. Errors: [guest.ErrUnknown], [guest.ErrGone].
	Look(ctx context.Context, id string) (guest.Page, error)
	// Open gives a link's guest an instant key; the errors are those of [guest.Service.Open].
	Open(ctx context.Context, id string) (guest.Opened, error)
	// ShowCode returns the stay's backup code; the errors are those of [guest.Service.ShowCode].
	ShowCode(ctx context.Context, id string) (guest.Code, guest.Page, error)
}

// Config is what the page needs of the rest of the program.
type Config struct {
	Links  Links
	Limits *handlers.Limits // its own, so that a flood of guests doesn't use up REST's turns
	Log    *slog.Logger
	Now    func() time.Time
}

// Page serves the pages of links.
type Page struct{ Config }

// New returns the page.
func New(c Config) *Page { return &Page{c} }

// Mount implements [handlers.Face].
func (h *Page) Mount(r chi.Router) {
	r = r.With(handlers.Measured, bodyFirst, h.Limits.OneOfFew)
	r.Get(guest.Route, h.show)
	r.Post(guest.Route, h.open)
}

// bodyFirst reads a request's body before the request takes a turn. The body isn't used, but net/http waits for an
// unread body before it writes a larger answer, so that a client that announces a body and doesn't send it would hold a
// turn.
func bodyFirst(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, io.LimitReader(r.Body, handlers.SmallBody+1))
		switch {
		case err != nil:
			handlers.NewProblem(http.StatusRequestTimeout, "the request's body did not arrive in time").Write(w)
		case n > handlers.SmallBody:
			handlers.NewProblem(http.StatusRequestEntityTooLarge, "a link takes no body").Write(w)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// show answers GET.
func (h *Page) show(w http.ResponseWriter, r *http.Request) {
	setHeaders(w)
	page, err := h.Links.Look(r.Context(), chi.URLParam(r, "id"))
	if err != nil {
		h.refuse(w, r, page, err)
		return
	}
	if wantsJSON(r) {
		writeJSON(w, http.StatusOK, stateOf(page))
		return
	}
	h.render(w, r, http.StatusOK, view{Page: page, Kind: kindOf(page)})
}

// open answers POST.
func (h *Page) open(w http.ResponseWriter, r *http.Request) {
	setHeaders(w)
	if r.URL.Query().Get("show") == "code" {
		h.showCode(w, r)
		return
	}
	opened, err := h.Links.Open(r.Context(), chi.URLParam(r, "id"))
	if err != nil {
		page := opened.Page
		if notReady := new(guest.NotReadyError); errors.As(err, &notReady) {
			page = notReady.Page
		}
		h.refuse(w, r, page, err)
		return
	}
	if wantsJSON(r) {
		writeJSON(w, http.StatusOK,
			guest.Key{InstantKeyURL: opened.InstantKeyURL, ExpiresAt: instant(opened.ExpiresAt)})
		return
	}
	h.render(w, r, http.StatusOK, view{
		Page: opened.Page, Kind: kindOpened, URL: opened.InstantKeyURL,
		Expires: opened.ExpiresAt,
	})
}

// showCode answers POST with show=code: the backup code, for a guest whose phone doesn't open the door.
func (h *Page) showCode(w http.ResponseWriter, r *http.Request) {
	code, page, err := h.Links.ShowCode(r.Context(), chi.URLParam(r, "id"))
	if err != nil {
		h.refuse(w, r, page, err)
		return
	}
	if wantsJSON(r) {
		writeJSON(w, http.StatusOK, Code{BackupCode: code.Digits, OpensTo: instant(code.OpensTo)})
		return
	}
	h.render(w, r, http.StatusOK, view{Page: page, Kind: kindCode, Code: code.Digits, Expires: code.OpensTo})
}

// Code is the answer to POST with show=code for a program.
type Code struct {
	BackupCode string `json:"backup_code"`
	OpensTo    string `json:"opens_to"`
}

func stateOf(p guest.Page) guest.State {
	s := guest.State{
		Ready: p.Readiness == guest.Ready, CheckIn: instantOrNull(p.CheckIn), CheckOut: instantOrNull(p.CheckOut),
		ReadyFrom: instantOrNull(p.ReadyFrom), ReadySince: instantOrNull(p.ReadySince),
		BackupCode: p.BackupCode,
	}
	if p.Property != "" {
		s.Property = &p.Property
	}
	if why := string(p.Readiness); why != "" {
		s.Reason = &why
	}
	return s
}

// refusal is how an error is answered.
type refusal struct {
	status int
	kind   kind
	detail string
	reason string // of a 409: why the key is not ready, for programs
	after  time.Duration
}

const reasonNoCode = "no_backup_code"

const tryAgain = "the key can't be handed out right now: try again in a moment"

func (h *Page) refusalOf(err error, page guest.Page) refusal {
	limit, notReady := new(guest.LimitError), new(guest.NotReadyError)
	switch {
	case errors.Is(err, guest.ErrUnknown):
		return refusal{status: http.StatusNotFound, kind: kindUnknown, detail: "there is no such link: is it complete?"}
	case errors.Is(err, guest.ErrGone):
		return refusal{
			status: http.StatusGone, kind: kindGone,
			detail: "the stay is over or cancelled, or the link was replaced by another one",
		}
	case errors.As(err, &notReady):
		return refusal{
			status: http.StatusConflict, kind: kindOf(page), detail: notReadyDetail(notReady),
			reason: notReady.Reason(),
		}
	case errors.Is(err, guest.ErrNoCode):
		return refusal{
			status: http.StatusConflict, kind: kindNoCode, reason: reasonNoCode,
			detail: "no backup code opens doors now: the source has none, the stay has not begun, or Salto has not created it",
		}
	case errors.As(err, &limit):
		return refusal{
			status: http.StatusTooManyRequests, kind: kindLimit,
			detail: "the link was used too often within an hour", after: limit.After,
		}
	case errors.Is(err, guest.ErrBusy), errors.Is(err, guest.ErrUnavailable):
	default:
		h.Log.Error("guest link not read: database error", "error", err)
	}
	return refusal{
		status: http.StatusServiceUnavailable, kind: kindUnavailable, detail: tryAgain,
		after: guest.RetryAfter,
	}
}

// notReadyWords say why a key can't be handed out, to people who develop or operate a guest app.
var notReadyWords = map[guest.Readiness]string{
	guest.Preparing: "it is being created or changed, try again in a moment",
	guest.TooEarly:  "it is created nearer to check-in",
	guest.NoRoom:    "the room is not assigned, or not set up yet",
	guest.Withheld:  "the property has to release it first",
	guest.Ask:       "the property's staff has to help",
}

// notReadyDetail names the key's status and reason as in REST, why in words, and the closed gates.
func notReadyDetail(no *guest.NotReadyError) string {
	status := no.Page.Status
	if reason := no.Reason(); reason != status {
		status += " / " + reason
	}
	detail := "the key is not ready (" + status + "): " + notReadyWords[no.Page.Readiness]
	if no.Page.Readiness == guest.Withheld && len(no.Page.Gates) > 0 {
		detail += ", by the gates " + strings.Join(no.Page.Gates, ", ")
	}
	return detail
}

func (h *Page) refuse(w http.ResponseWriter, r *http.Request, page guest.Page, err error) {
	no := h.refusalOf(err, page)
	if wantsJSON(r) {
		p := handlers.NewProblem(no.status, no.detail).After(no.after)
		if no.reason != "" {
			p = p.Coded(handlers.CodeKeyNotReady).Because(no.reason)
		}
		p.Write(w)
		return
	}
	if no.after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(no.after.Seconds()))))
	}
	h.render(w, r, no.status, view{Page: page, Kind: no.kind, After: no.after})
}

// wantsJSON reports whether the client is a program. A browser always accepts HTML.
func wantsJSON(r *http.Request) bool {
	accept := strings.ToLower(strings.Join(r.Header.Values("Accept"), ","))
	return strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/html")
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the guest may be gone
}

// instant writes a time as everywhere in the interface: RFC 3339, UTC, milliseconds.
func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func instantOrNull(t *time.Time) *string {
	if t == nil {
		return nil
	}
	s := instant(*t)
	return &s
}

// setHeaders keeps the page and its address out of caches, referrers and search engines.
func setHeaders(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Robots-Tag", "noindex, nofollow, noarchive")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Add("Vary", "Accept, Accept-Language")
}
