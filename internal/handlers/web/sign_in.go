package web

import (
	"crypto/hmac"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/lang"
)

// Signing in with a token, signing out, and who may open a page. sso.go signs in with an identity provider.

type signIn struct {
	Next         string
	Person       string // as entered before, when the token was wrong
	Problem      string
	Provider     string // the label of the identity provider's button; "" for none
	ProviderPath string
}

// nextPage is the page to show after sign-in. It is always on this site, whatever the query says.
func nextPage(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") ||
		strings.ContainsAny(next, "\\\r\n") {
		return "/"
	}
	return next
}

func (s accountPages) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, handlers.SmallBody)
	next, person := nextPage(r.PostFormValue("next")), admin.Person(r.PostFormValue("person"))
	token, p := s.Auth.Judge(r, strings.TrimSpace(r.PostFormValue("token")))
	if p != nil {
		s.noteWrongSignIn(r)
		words := lang.Text("That token isn't valid. Ask your administrator for one.")
		if p.Status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "1")
			words = "Too many wrong tokens. Wait a moment, and check the token."
		}
		s.askForToken(w, r, p.Status, next, localeOf(r).T(words))
		return
	}
	if p := handlers.MayDo(token, http.MethodGet); p != nil {
		s.askForToken(w, r, p.Status, next, localeOf(r).T("This token is for a program: use one that may read."))
		return
	}

	a := s.Auth.Arrival(w, r, token, person, admin.ViaPage)
	handlers.NoteToken(r.Context(), a.LogName())
	value, err := s.Admin.Sessions.SignIn(r.Context(), a)
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	http.SetCookie(w, s.cookie(r, value, int(admin.SessionLife.Seconds())))
	http.Redirect(w, r, next, http.StatusSeeOther)
}

// noteWrongSignIn logs an attempt to sign in with a wrong token. It changes nothing, so it is not in the audit log.
func (s accountPages) noteWrongSignIn(r *http.Request) {
	s.Log.Warn("sign-in refused: wrong token", "address", s.Proxies.Sender(r).String())
}

// cookie is the session's cookie. Its value is useless anywhere else.
func (s accountPages) cookie(r *http.Request, value string, maxAge int) *http.Cookie {
	// #nosec G124 -- Secure where the page is reached by TLS: without it, on a machine of one's own, there would be no session
	return &http.Cookie{
		Name: s.cookieName(r), Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, Secure: s.secure(r),
		SameSite: http.SameSiteLaxMode,
	}
}

func (s accountPages) signOut(w http.ResponseWriter, r *http.Request) {
	if err := s.Admin.Sessions.SignOut(r.Context(), s.sessionCookie(r)); err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	s.watch.end(admin.ActorOf(r.Context()).Session)
	http.SetCookie(w, s.cookie(r, "", -1))
	http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
}

// signedIn admits requests with a session whose token is still configured. Requests that change something must also
// carry the session's form token.
func (s accountPages) signedIn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cookie := s.sessionCookie(r)
		session, err := s.Admin.Sessions.Get(r.Context(), cookie)
		if err != nil && !errors.Is(err, admin.ErrNoSession) {
			s.refuse(w, r, s.problemOf(r, err))
			return
		}
		token, ok := s.tokenOf(session)
		if err != nil || !ok || token.Only != "" {
			s.askToSignIn(w, r)
			return
		}

		a := s.Auth.Arrival(w, r, token, session.Person, admin.ViaPage)
		a.Session, a.Until = hex.EncodeToString(session.Hash), session.ExpiresAt
		ctx := handlers.WithActor(r.Context(), a)
		r = r.WithContext(ctx)

		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			if p := readForm(w, r); p != nil {
				s.refuse(w, r, p)
				return
			}
			if !hmac.Equal([]byte(r.PostFormValue("csrf")), []byte(s.csrfToken(cookie))) {
				s.refuse(w, r, handlers.NewProblem(http.StatusForbidden,
					"this form belongs to another session: reload the page"))
				return
			}
			if p := handlers.MayDo(token, r.Method); p != nil && r.URL.Path != "/sign-out" {
				s.refuse(w, r, p)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// maxUpload is the largest table of doors: about 20,000 lines, and room to spare.
const maxUpload = 4 << 20

// readForm reads a form, up to a size.
func readForm(w http.ResponseWriter, r *http.Request) *handlers.Problem {
	most := int64(handlers.MaxBody)
	if r.URL.Path == doorsFilePath {
		most = maxUpload
	}
	r.Body = http.MaxBytesReader(w, r.Body, most)
	err := r.ParseMultipartForm(most)
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return handlers.NewProblem(http.StatusRequestEntityTooLarge, "this is too large: send it in parts")
	}
	return nil // what can't be read lacks the form's token
}

func (s accountPages) askToSignIn(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/updates" || r.Header.Get(liveHeader) != "" { // asked by a script, which can't sign in
		handlers.NewProblem(http.StatusUnauthorized, "the session has ended: sign in again").Write(w)
		return
	}
	next := "/"
	if r.Method == http.MethodGet {
		next = r.URL.RequestURI()
	}
	target := "/sign-in"
	if next != "/" {
		target += "?next=" + url.QueryEscape(next)
	}
	http.Redirect(w, r, target, http.StatusSeeOther)
}
