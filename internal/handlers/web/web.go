// Package web is the page for admins: HTML rendered here, one style sheet, and a script that only makes it livelier.
//
// It shows what internal/admin answers, and asks it for what forms ask for; it never decides anything itself. [Pages]
// has a type for each family of pages (dayPages, stayPages, ...), with its handlers in a file per page; [Pages.Mount]
// is the table of all addresses. What they share, such as rendering and refusing, is in core, in this file.
//
// templates/, static/ and words/ (translations, see locale.go) are embedded. A page is a template within layout.html,
// rendered from one struct, so that it works without the script; the script (static/page.js) replaces the parts marked
// data-live when the stream of live.go says that something changed.
//
// # Security
//
// Sign-in exchanges an admin token for a session: a cookie that no script reads, and whose token must still be
// configured. Forms carry a token of the session, and requests from other sites are refused. The
// Content-Security-Policy allows only this origin's files; there is no inline script or style.
package web

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/fair"
	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/lang"
	"github.com/staykey/staykey/internal/sso"
)

//go:embed templates static words
var files embed.FS

// assets are the files that pages load, by name. assetTag changes with their content, so that browsers can cache them
// forever.
var assets, assetTag = readAssets("style.css", "page.js", "icon.svg")

func readAssets(names ...string) (map[string][]byte, string) {
	contents, sum := map[string][]byte{}, sha256.New()
	for _, name := range names {
		content, err := files.ReadFile("static/" + name)
		if err != nil {
			panic(err) // it is embedded
		}
		contents[name] = content
		_, _ = sum.Write(content) // never fails (hash.Hash)
	}
	return contents, hex.EncodeToString(sum.Sum(nil)[:6])
}

const pageCSP = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Config is what the page needs of the rest of the program.
type Config struct {
	Admin     *admin.Service
	Auth      *handlers.Auth
	Limits    *handlers.Limits
	Proxies   handlers.Proxies
	Log       *slog.Logger
	Now       func() time.Time
	FormKey   []byte          // of the installation: tokens of forms are made with it
	PublicURL string          // where PMSs reach the public listener; "" where that is not known
	AdminURL  string          // where browsers reach the page; "" where that is not known
	SSO       *SSO            // nil where people only sign in with tokens
	Done      <-chan struct{} // closed when the service is to stop: streams to pages end then
	Version   string
}

// SSO is how people sign in with an identity provider.
type SSO struct {
	Client   *sso.Client
	Settings func() *sso.Settings // of the configuration of now; nil for none
}

// Pages is the page for admins, by family of pages.
type Pages struct {
	*core

	account       accountPages
	days          dayPages
	reservations  reservationPages
	views         viewPages
	stays         stayPages
	listings      listingPages
	doors         doorPages
	events        eventPages
	sources       sourcePages
	subscriptions subscriptionPages
	audit         auditPages
	live          livePages
}

// core is what all pages share: rendering, refusals, cookies and the tokens of forms.
type core struct {
	Config
	watch   watch
	signIns *fair.Ceiling // of those that ask the identity provider
}

// New returns the page.
func New(c Config) *Pages {
	s := &core{Config: c, signIns: fair.New(maxSignIns, nil)}
	return &Pages{
		core: s,

		account:       accountPages{s},
		days:          dayPages{s},
		reservations:  reservationPages{s},
		views:         viewPages{s},
		stays:         stayPages{s},
		listings:      listingPages{s},
		doors:         doorPages{s},
		events:        eventPages{s},
		sources:       sourcePages{s},
		subscriptions: subscriptionPages{s},
		audit:         auditPages{s},
		live:          livePages{s},
	}
}

func (s *core) problemOf(r *http.Request, err error) *handlers.Problem {
	return handlers.ProblemOf(r.Context(), s.Log, err)
}

// Mount implements [handlers.Face].
func (s *Pages) Mount(r chi.Router) {
	r.Get("/assets/{tag}/{name}", func(w http.ResponseWriter, r *http.Request) {
		content, ok := assets[chi.URLParam(r, "name")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		http.ServeContent(w, r, path.Base(chi.URLParam(r, "name")), time.Time{}, bytes.NewReader(content))
	})
	plain := r.With(s.pageHeaders, s.sameOrigin, s.oneOfEach)
	plain.With(handlers.Measured).Get("/sign-in", func(w http.ResponseWriter, r *http.Request) {
		s.account.askForToken(w, r, http.StatusOK, nextPage(r.FormValue("next")), "")
	})
	plain.With(handlers.Measured).Post("/sign-in", s.account.signIn)
	plain.With(handlers.Measured).Get("/language/{tag}", s.account.chooseLanguage)
	plain.With(handlers.Measured).Get(providerPath, s.account.beginSSO)
	plain.With(handlers.Measured).Get(callbackPath, s.account.finishSSO)
	plain.With(s.account.signedIn, handlers.DecodeParams, handlers.StorableInput).Get("/updates", s.live.updates)
	signedIn := plain.With(handlers.Measured, s.account.signedIn, handlers.DecodeParams, handlers.StorableInput,
		s.Limits.OneOfFew, s.live.noteSeen)

	signedIn.Post("/sign-out", s.account.signOut)
	signedIn.Get("/", s.days.today)
	signedIn.Get("/clock/{hours}", s.account.chooseClock)
	signedIn.Get("/arrivals", s.days.arrivals)
	signedIn.Get("/calendar", s.days.calendar)

	signedIn.Get("/search", s.reservations.search)
	signedIn.Get("/reservations", s.reservations.list)
	signedIn.Get("/reservations.csv", s.reservations.export)
	signedIn.Post("/reservations/actions", s.reservations.actOnMany)
	signedIn.Post("/undo/{undo_id}", s.reservations.undo)

	signedIn.Post("/views/{list}", s.views.save)
	signedIn.Post("/views/{list}/delete", s.views.delete)

	signedIn.Get("/reservations/{source}/{reservation_id}", s.stays.show)
	signedIn.Get("/reservations/{source}/{reservation_id}/{action}", s.stays.askFor)
	signedIn.Post("/reservations/{source}/{reservation_id}/{action}", s.stays.do)
	signedIn.Post("/reservations/{source}/{reservation_id}/gates/{name}", s.stays.setGate)
	signedIn.Post("/reservations/{source}/{reservation_id}/notes", s.stays.addNote)
	signedIn.Post("/reservations/{source}/{reservation_id}/notes/delete", s.stays.deleteNote)

	signedIn.Get("/listings", s.listings.list)
	signedIn.Get("/listings/{source}/{listing_id}", s.listings.show)
	signedIn.Post("/listings/{source}/{listing_id}", s.listings.save)

	signedIn.Get("/doors", s.doors.list)
	signedIn.Get("/doors.csv", s.doors.export)
	signedIn.Post("/doors", s.doors.change)
	signedIn.Post(doorsFilePath, s.doors.readFile)
	signedIn.Post("/doors/typed", s.doors.setTyped)

	signedIn.Get("/events", s.events.list)
	signedIn.Get("/events/replay", s.events.askToReplay)
	signedIn.Post("/events/replay", s.events.replay)
	signedIn.Get("/events/{event_id}", s.events.show)

	signedIn.Get("/sources", s.sources.list)
	signedIn.Get("/sources/{source}", s.sources.one)
	signedIn.Get("/sources/{source}/test", s.sources.tested)
	signedIn.Post("/sources/{source}/test", s.sources.test)

	signedIn.Get("/subscriptions", s.subscriptions.list)
	signedIn.Get("/subscriptions/{name}", s.subscriptions.one)
	signedIn.Post("/subscriptions/{name}/{verb}", s.subscriptions.do)
	signedIn.Post("/subscriptions/{name}/deliveries/{delivery_id}/resend", s.subscriptions.resend)

	signedIn.Get("/health", s.sources.health)
	signedIn.Get("/audit", s.audit.list)
}

// liveHeader marks requests of the page's script, which replaces parts of the page that shows.
const liveHeader = "Staykey-Live"

// pageHeaders sets the headers of every answer of the page.
func (s *core) pageHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", pageCSP)
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Add("Vary", "Accept-Language, Cookie")
		next.ServeHTTP(w, r)
	})
}

// oneOfEach refuses repeated query parameters, as REST does. No form of the page sends any.
func (s *core) oneOfEach(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := handlers.Repeated(r.URL.Query()); p != nil {
			s.refuse(w, r, p)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// sameOrigin refuses requests that another site makes a browser post. Forms also carry a token.
func (s *core) sameOrigin(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := protection.Check(r); err != nil {
			s.refuse(w, r, handlers.NewProblem(http.StatusForbidden, "this form was sent by another site"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// page is the data of the layout and of the view inside it.
type page struct {
	Title   string
	Active  string // the entry of the navigation
	Search  string // what was searched for
	Version string
	Assets  string
	Person  string
	Write   bool
	// AllSources reports whether the token covers every source: some pages are about the whole service.
	AllSources bool
	CSRF       string
	Now        time.Time
	Path       string
	Here       string       // the address of the page, for links that come back to it
	Seen       string       // what the page's stream of changes begins after, see live.go
	In         *lang.Locale // how the page speaks
	Lang       string
	Languages  []pageLanguage
	Body       any
}

func (s *core) render(w http.ResponseWriter, r *http.Request, status int, view string, p page) {
	a := admin.ActorOf(r.Context())
	p.Version, p.Assets, p.Now, p.Path = s.Version, "/assets/"+assetTag, s.Now(), r.URL.Path
	p.Person, p.Write, p.AllSources = a.Author(""), a.Write, a.Sources == nil
	p.In, p.Languages, p.Seen = localeOf(r), languages, seenBy(r)
	p.Lang = p.In.Tag()
	if p.Here = "/"; r.Method == http.MethodGet && status == http.StatusOK {
		p.Here = r.URL.RequestURI()
	}
	if value := s.sessionCookie(r); value != "" {
		p.CSRF = s.csrfToken(value)
	}
	var b bytes.Buffer
	if err := viewsIn(p.In)[view].ExecuteTemplate(&b, "layout.html", p); err != nil {
		s.Log.Error("page not rendered", "view", view, "error", err)
		handlers.NewProblem(http.StatusInternalServerError,
			"This page can't be shown. The log has the reason.").Write(w)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", p.Lang)
	w.WriteHeader(status)
	_, _ = b.WriteTo(w) // the client may be gone
}

// refuse shows a problem as a page.
func (s *core) refuse(w http.ResponseWriter, r *http.Request, p *handlers.Problem) {
	shown := translated(localeOf(r), p)
	s.render(w, r, p.Status, "problem", page{Title: shown.Title, Body: shown})
}

// --- sessions

// cookieName is the name of the session's cookie. Where the page is reached by TLS it begins with __Host-: a
// browser takes such a cookie only from this host itself, so that another host of the same domain can't plant one
// (RFC 6265bis section 4.1.3.2).
func (s *core) cookieName(r *http.Request) string {
	if s.secure(r) {
		return "__Host-staykey_session"
	}
	return "staykey_session"
}

func (s *core) sessionCookie(r *http.Request) string {
	c, err := r.Cookie(s.cookieName(r))
	if err != nil {
		return ""
	}
	return c.Value
}

// secure reports whether browsers reach the page by TLS, here or at a trusted proxy.
func (s *core) secure(r *http.Request) bool {
	if r.TLS != nil || strings.HasPrefix(s.AdminURL, "https://") {
		return true
	}
	return len(s.Proxies()) > 0 && r.Header.Get("X-Forwarded-Proto") == "https"
}

// csrfToken is the token in a session's forms: nobody else can make it, and it reveals nothing about the cookie.
func (s *core) csrfToken(session string) string {
	mac := hmac.New(sha256.New, s.FormKey)
	mac.Write([]byte("csrf\x00" + session))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}
