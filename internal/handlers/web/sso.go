package web

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/fair"
	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/sso"
	"github.com/staykey/staykey/internal/stay"
)

// People can sign in with an identity provider:
//
//	beginSSO     a turn (inTurn) ─▶ the flow into a sealed cookie ─▶ to the provider
//	finishSSO    the flow from the cookie ─▶ a turn ─▶ sso.Client.Finish ─▶ a role? (admit) ─▶ a session
//	tokenOf      at each request: what the session's groups may do now
//
// What a sign-in needs to come back is in the cookie, so any replica can finish what another one began. What somebody
// may do is looked up in the configuration at each request, by the groups that the session has: a role that is changed
// or removed there counts at once.

// accountPages sign people in and out, with a token or an identity provider, and remember their language and clock.
type accountPages struct{ *core }

const (
	// providerPath begins a sign-in with the provider. It is a link, not a form: a form that is redirected to another
	// site is blocked by the page's Content-Security-Policy.
	providerPath = "/sign-in/provider"
	// callbackPath is where the provider sends browsers back to.
	callbackPath = "/sign-in/callback"
	// maxSignIns is how many sign-ins may ask the provider at a time, and signInWait how long another one waits.
	maxSignIns = 16
	signInWait = 5 * time.Second
)

// signInSettings are those of the identity provider; nil for none.
func (s accountPages) signInSettings() *sso.Settings {
	if s.SSO == nil {
		return nil
	}
	return s.SSO.Settings()
}

func (s accountPages) redirectURL() string {
	return strings.TrimSuffix(s.AdminURL, "/") + callbackPath
}

// inTurn runs what asks the provider, if there is a turn. Strangers can begin sign-ins too, so the address that has
// the most under way loses one.
func (s accountPages) inTurn(r *http.Request, ask func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	waiting, stop := context.WithTimeout(ctx, signInWait)
	defer stop()
	permit, ok := s.signIns.Wait(waiting, fair.Client(s.Proxies.Sender(r)), "", cancel)
	if !ok {
		return errTooManySignIns
	}
	defer permit.Release()
	err := ask(ctx)
	if err != nil && ctx.Err() != nil {
		return errTooManySignIns
	}
	return err
}

var errTooManySignIns = errors.New("too many sign-ins at the same time")

// beginSSO sends the browser to the identity provider.
func (s accountPages) beginSSO(w http.ResponseWriter, r *http.Request) {
	next := nextPage(r.FormValue("next"))
	settings := s.signInSettings()
	if settings == nil {
		s.askForToken(w, r, http.StatusNotFound, next, localeOf(r).T("Single sign-on isn't set up. Sign in with a token."))
		return
	}
	var address string
	var flow sso.Flow
	err := s.inTurn(r, func(ctx context.Context) (err error) {
		address, flow, err = s.SSO.Client.Begin(ctx, *settings, s.redirectURL(), next)
		return err
	})
	if err != nil {
		s.ssoFailed(w, r, next, err)
		return
	}
	sealed, err := s.sealFlow(flow)
	if err != nil {
		s.ssoFailed(w, r, next, err)
		return
	}
	http.SetCookie(w, s.flowCookie(r, sealed, int(sso.FlowLife.Seconds())))
	http.Redirect(w, r, address, http.StatusSeeOther)
}

// finishSSO signs somebody in whom the provider has sent back.
func (s accountPages) finishSSO(w http.ResponseWriter, r *http.Request) {
	settings := s.signInSettings()
	if settings == nil {
		s.askForToken(w, r, http.StatusNotFound, "/", localeOf(r).T("Single sign-on isn't set up. Sign in with a token."))
		return
	}
	var flow sso.Flow
	if cookie, err := r.Cookie(s.flowCookie(r, "", 0).Name); err == nil {
		flow = s.openFlow(cookie.Value)
	}
	http.SetCookie(w, s.flowCookie(r, "", -1)) // it is good for one answer
	next, q := nextPage(flow.Next), r.URL.Query()
	answer := sso.Answer{State: q.Get("state"), Code: q.Get("code"), Error: q.Get("error"), Issuer: q.Get("iss")}
	var who sso.Identity
	err := s.inTurn(r, func(ctx context.Context) (err error) {
		who, err = s.SSO.Client.Finish(ctx, *settings, s.redirectURL(), flow, answer)
		return err
	})
	if err != nil {
		s.ssoFailed(w, r, next, err)
		return
	}
	s.admit(w, r, settings, who, next)
}

// admit begins the session of somebody whom the provider has signed in, if a role is theirs.
func (s accountPages) admit(w http.ResponseWriter, r *http.Request, settings *sso.Settings, who sso.Identity,
	next string,
) {
	provider := settings.ID()
	by := admin.Provided{Subject: who.Subject, Login: who.Login, Groups: who.Groups}
	token, ok := ssoToken(settings, admin.Session{TokenHash: provider[:], Provided: by})
	if !ok {
		handlers.SignIns.WithLabelValues("no_role").Inc()
		s.Log.Warn("sign-in refused: none of the person's groups has a role", "subject", who.Subject)
		s.askForToken(w, r, http.StatusForbidden, next,
			localeOf(r).T("Your account is known, but none of its groups may use staykey. "+
				"Ask your administrator to add you to one."))
		return
	}
	a := s.Auth.Arrival(w, r, token, admin.Person(who.Name), admin.ViaPage)
	handlers.NoteToken(r.Context(), a.LogName())
	value, err := s.Admin.Sessions.SignInProvided(r.Context(), a, provider[:], by)
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	handlers.SignIns.WithLabelValues("signed_in").Inc()
	http.SetCookie(w, s.cookie(r, value, int(admin.SessionLife.Seconds())))
	http.Redirect(w, r, next, http.StatusSeeOther)
}

// ssoFailed tells a person why there is no session, and the log in more detail.
func (s accountPages) ssoFailed(w http.ResponseWriter, r *http.Request, next string, err error) {
	status, result := http.StatusBadGateway, "untrusted"
	in := localeOf(r)
	words := in.T("The identity provider's answer can't be trusted. Ask your administrator: the log has the reason.")
	refused := sso.RefusedError{}
	switch {
	case errors.Is(err, sso.ErrExpired):
		status, result = http.StatusBadRequest, "expired"
		words = in.T("The sign-in took too long, or began in another browser or tab. Try again.")
	case errors.As(err, &refused):
		status, result = http.StatusForbidden, "refused"
		words = in.T("The identity provider refused the sign-in ({code}). Try again, or ask your administrator.",
			refused.Code)
	case errors.Is(err, sso.ErrUnreachable):
		status, result = http.StatusServiceUnavailable, "unreachable"
		words = in.T("The identity provider can't be reached. Try again in a moment, or sign in with a token.")
	case errors.Is(err, errTooManySignIns):
		status, result = http.StatusServiceUnavailable, "unreachable"
		words = in.T("Too many people are signing in. Try again in a moment, or sign in with a token.")
		w.Header().Set("Retry-After", "1")
	}
	handlers.SignIns.WithLabelValues(result).Inc()
	s.Log.Warn("sign-in with the identity provider failed", "result", result, "error", err,
		"address", s.Proxies.Sender(r).String())
	s.askForToken(w, r, status, next, words)
}

// askForToken shows the page that people sign in on, with what is wrong; "" for nothing.
func (s accountPages) askForToken(w http.ResponseWriter, r *http.Request, status int, next, problem string) {
	body := signIn{Next: next, Person: admin.Person(r.PostFormValue("person")), Problem: problem}
	if settings := s.signInSettings(); settings != nil {
		body.Provider, body.ProviderPath = settings.Label, providerPath+"?next="+url.QueryEscape(next)
	}
	s.render(w, r, status, "sign-in", page{Title: localeOf(r).T("Sign in"), Body: body})
}

// ssoToken is what the person of a session may do now: by the first role of the configuration for one of the groups.
// It returns false if the configured provider is another one now, or none, or no role is left.
func ssoToken(settings *sso.Settings, session admin.Session) (admin.Token, bool) {
	if settings == nil || session.Subject == "" {
		return admin.Token{}, false
	}
	id := settings.ID()
	if subtle.ConstantTimeCompare(session.TokenHash, id[:]) != 1 {
		return admin.Token{}, false
	}
	role, ok := settings.RoleOf(session.Groups)
	name := session.Login
	if !strings.Contains(name, "@") {
		name = "sso:" + name // names of tokens have neither
	}
	return admin.Token{
		Name: name, Hash: sha256.Sum256(append(id[:], session.Subject...)), Write: role.Write, Sources: role.Sources,
		Subject: session.Subject,
	}, ok
}

// tokenOf is what the person of a session may do now; false if the session has ended.
func (s accountPages) tokenOf(session admin.Session) (admin.Token, bool) {
	if session.Subject != "" {
		return ssoToken(s.signInSettings(), session)
	}
	return s.Auth.TokenOf(session.TokenHash)
}

// flowCookie holds a sign-in that has begun.
func (s accountPages) flowCookie(r *http.Request, value string, maxAge int) *http.Cookie {
	c := s.cookie(r, value, maxAge)
	c.Name = strings.Replace(c.Name, "session", "sign_in", 1)
	return c
}

// flowSealer encrypts flows, so that nobody can read or change them.
func (s accountPages) flowSealer() stay.Sealer {
	return stay.NewSealer("sign-in\x00" + hex.EncodeToString(s.FormKey))
}

const flowLabel = "a sign-in that has begun"

func (s accountPages) sealFlow(flow sso.Flow) (string, error) {
	text, err := json.Marshal(flow)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(s.flowSealer().Seal(string(text), flowLabel)), nil
}

// openFlow reads a sealed flow; the zero one, which has expired, if it isn't ours.
func (s accountPages) openFlow(sealed string) (flow sso.Flow) {
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return sso.Flow{}
	}
	text, ok := s.flowSealer().Open(raw, flowLabel)
	if !ok || json.Unmarshal([]byte(text), &flow) != nil {
		return sso.Flow{}
	}
	return flow
}
