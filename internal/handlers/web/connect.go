package web

import (
	"bytes"
	"html/template"
	"net/http"
	"regexp"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/yuin/goldmark"

	"github.com/staykey/staykey/docs/sources"
	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/lang"
	"github.com/staykey/staykey/internal/pms"
)

// This file is the page of one source: how to connect its PMS, and whether its events arrive.

// connectView is the page of one source.
type connectView struct {
	sourceRow
	Address string        // to enter in the PMS; a word in capitals stands for the secret
	Known   bool          // Address is that at which PMSs reach the service, not only this browser
	Steps   template.HTML // in the PMS; "" where its format is somebody's own
	Events  []eventRow    // the newest events of the PMS
	Tested  *admin.SourceTest
}

// eventsOfSource is how many events the page of a source shows.
const eventsOfSource = 5

func (s sourcePages) one(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, nil)
}

// tested handles a reload of the page that shows the result of a test.
func (s sourcePages) tested(w http.ResponseWriter, r *http.Request) {
	state, err := s.Admin.Sources.Get(r.Context(), chi.URLParam(r, "source"))
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	http.Redirect(w, r, sourceRowOf(localeOf(r), state).Link(), http.StatusSeeOther)
}

func (s sourcePages) test(w http.ResponseWriter, r *http.Request) {
	result, err := s.Admin.Sources.Test(r.Context(), chi.URLParam(r, "source"))
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	s.show(w, r, &result)
}

func (s sourcePages) show(w http.ResponseWriter, r *http.Request, tested *admin.SourceTest) {
	state, err := s.Admin.Sources.Get(r.Context(), chi.URLParam(r, "source"))
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	found, err := s.Admin.Events.List(r.Context(), admin.EventQuery{
		Paging: admin.Paging{Limit: eventsOfSource}, Source: []string{state.Name}, WithoutTests: true,
	})
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}

	v := connectView{sourceRow: sourceRowOf(localeOf(r), state), Events: s.eventRows(found.Items), Tested: tested}
	base := s.PublicURL
	if v.Known = base != ""; !v.Known {
		base = "http://" + r.Host
		if s.secure(r) {
			base = "https://" + r.Host
		}
	}

	v.Address = base + state.WebhookPath + tokenOf(state.Token)
	if v.Steps, err = stepsOf(state, base); err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	s.render(w, r, http.StatusOK, "source",
		page{Title: localeOf(r).T("Connect {name}", state.Name), Active: "sources", Body: v})
}

// tokenOf is the part of a webhook's address that holds the secret, if it has one.
func tokenOf(at admin.SecretLocation) string {
	switch {
	case at.Path:
		return "/YOUR-TOKEN"
	case at.Parameter != "":
		return "?" + at.Parameter + "=YOUR-TOKEN"
	}
	return ""
}

var (
	// firstStep and firstNote find where the steps in a document begin and end.
	firstStep = regexp.MustCompile(`(?m)^1\. `)
	firstNote = regexp.MustCompile(`(?m)^- `)
	// docLink is a link to another document, which the page can't show.
	docLink = regexp.MustCompile(`\[([^\]]+)\]\([^)]*\.md[^)]*\)`)
)

// stepsOf returns the steps of a PMS's document, with this installation's addresses and names filled in.
func stepsOf(state admin.SourceState, base string) (template.HTML, error) {
	text, err := sources.Files.ReadFile(state.Format + ".md")
	if err != nil {
		return "", nil // the canonical format, or the operator's own
	}
	steps := string(text)
	if at := firstStep.FindStringIndex(steps); at != nil {
		steps = steps[at[0]:]
	}
	if at := firstNote.FindStringIndex(steps); at != nil {
		steps = steps[:at[0]]
	}
	steps = docLink.ReplaceAllString(steps, "$1")
	steps = strings.NewReplacer(
		"https://YOUR-HOST/webhooks/"+state.Format, base+state.WebhookPath,
		"/v1/listings/"+state.Format+"/", "/v1/listings/"+strings.TrimPrefix(state.WebhookPath, "/webhooks/")+"/",
		"name: "+state.Format+"\n", "name: "+state.Name+"\n",
	).Replace(steps)
	var b bytes.Buffer
	if err := goldmark.Convert([]byte(steps), &b); err != nil {
		return "", err
	}
	return template.HTML(b.String()), nil // #nosec G203 -- our own document; goldmark leaves HTML in it out
}

// Canonical reports whether the source takes our own format.
func (v connectView) Canonical() bool { return v.Format == pms.CanonicalFormat }

// Where says where the secret is entered in the PMS.
func (v connectView) Where() lang.Text {
	switch v.Verify {
	case "standard-webhooks":
		return "The sender signs each webhook with the secret (whsec_…), as Standard Webhooks and Svix do."
	case "hmac":
		return "The PMS signs each webhook with the secret. Some PMSs let you choose it, others show it once."
	case "basic":
		return "Enter the user name and the password in the PMS's webhook settings."
	case "bearer":
		return "The PMS sends the secret in the header Authorization: Bearer …"
	case "header":
		return "The PMS sends the secret in a header. Enter the header's name and the secret in its webhook settings."
	case "url-token":
		return "The secret is part of the address: put it in place of YOUR-TOKEN."
	case "none":
		return "This source has no secret: anybody who knows the address can open doors."
	}
	return "This source has no verifier, so all its webhooks are refused. Add one to the config file."
}
