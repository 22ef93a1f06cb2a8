package guest

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/guest"
)

// kind is what the page shows.
type kind int

// The kinds.
const (
	kindReady kind = iota + 1
	kindOpened
	kindPreparing
	kindTooEarly
	kindNoRoom
	kindWithheld
	kindAsk
	kindGone
	kindUnknown
	kindLimit
	kindUnavailable
	kindCode
	kindNoCode
)

// kindOf is what the page of a valid link shows.
func kindOf(p guest.Page) kind {
	switch p.Readiness {
	case guest.Ready:
		return kindReady
	case guest.Preparing:
		return kindPreparing
	case guest.TooEarly:
		if p.ReadyFrom != nil {
			return kindTooEarly
		}
		return kindPreparing
	case guest.NoRoom:
		return kindNoRoom
	case guest.Withheld:
		return kindWithheld
	default:
		return kindAsk
	}
}

// view is what the page shows.
type view struct {
	Page    guest.Page
	Kind    kind
	URL     string // the instant key's
	Code    string // the backup code
	Expires time.Time
	After   time.Duration
}

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// shown is the view as text in the guest's language.
type shown struct {
	Lang    string
	Words   *words
	Title   string // of the window: the property, never the guest
	Heading string
	Lead    string
	Since   string // since when the key is ready
	Style   template.CSS

	Property, Operator, Address, Contact string
	Logo                                 template.URL
	CheckIn, CheckOut                    *moment
	Zone                                 string

	Button  string // of the form, "" for none
	Tap     template.URL
	TapText string
	Hint    string

	Code      string // the backup code
	CodeOffer string // of the form that shows it, "" for none
}

// moment is a time as a guest reads it, and as machines do.
type moment struct{ Text, Machine string }

func (h *Page) render(w http.ResponseWriter, r *http.Request, status int, v view) {
	lang, in := languageOf(r, v.Page.Language)
	s := in.show(v, h.Now())
	s.Lang, s.Words = lang, in
	s.Style = template.CSS(pageCSS + brand(v.Page.Operator.Color)) // #nosec G203 -- our own CSS, and a color that the configuration has checked
	sum := sha256.Sum256([]byte(s.Style))
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, s); err != nil {
		h.Log.Error("guest page not rendered", "error", err)
		http.Error(w, in.UnavailableLead, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", lang)
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+
		base64.StdEncoding.EncodeToString(sum[:])+
		"'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the guest may be gone
}

// show renders a view as text.
func (in *words) show(v view, now time.Time) shown {
	p := v.Page
	s := shown{
		Property: p.Property, Operator: p.Operator.Name, Address: p.Address, Contact: p.Operator.Contact,
		Logo: template.URL(p.Operator.Logo), // #nosec G203 -- a data: URL that the configuration built
	}
	if p.CheckIn != nil {
		s.Zone = in.sprintf(in.LocalTime, zoneName(p.CheckIn.Location()))
		s.CheckIn = &moment{in.date(*p.CheckIn), p.CheckIn.Format(time.RFC3339)}
	}
	if p.CheckOut != nil {
		s.CheckOut = &moment{in.date(*p.CheckOut), p.CheckOut.Format(time.RFC3339)}
	}
	if p.BackupCode && v.Kind != kindCode && v.Kind != kindNoCode {
		s.CodeOffer = in.CodeButton
	}
	in.say(&s, v, now)
	s.Title = s.Heading
	if s.Property != "" {
		s.Title += " – " + s.Property
	}
	return s
}

// say fills in the text of the page's main part.
func (in *words) say(s *shown, v view, now time.Time) {
	p := v.Page
	switch v.Kind {
	case kindCode:
		s.Heading, s.Lead, s.Code = in.CodeHeading, in.CodeLead, v.Code
		s.Hint = in.sprintf(in.CodeHint, in.date(v.Expires.In(locationOf(p))))
	case kindNoCode:
		s.Heading, s.Lead = in.NoCodeHeading, in.NoCodeLead
	case kindReady:
		s.Heading, s.Lead, s.Button, s.Hint = in.ReadyHeading, in.opens(p, now), in.ReadyButton, in.ReadyHint
		if p.ReadySince != nil {
			s.Since = in.sprintf(in.ReadySince, in.date(*p.ReadySince))
		}
	case kindOpened:
		s.Heading, s.Lead, s.Tap, s.TapText = in.OpenedHeading, in.OpenedLead, safeURL(v.URL), in.OpenedButton
		s.Hint = in.sprintf(in.OpenedHint, in.date(v.Expires.In(locationOf(p))))
	case kindPreparing:
		s.Heading, s.Lead = in.NotReadyHeading, in.PreparingLead
	case kindTooEarly:
		s.Heading, s.Lead = in.NotReadyHeading, in.sprintf(in.TooEarlyLead, in.date(*p.ReadyFrom))
	case kindNoRoom:
		s.Heading, s.Lead = in.NotReadyHeading, in.NoRoomLead
	case kindWithheld:
		s.Heading, s.Lead = in.NotReadyHeading, in.WithheldLead
	case kindAsk:
		s.Heading, s.Lead = in.NotReadyHeading, in.AskLead
	case kindGone:
		s.Heading, s.Lead = in.GoneHeading, in.GoneLead
	case kindUnknown:
		s.Heading, s.Lead = in.UnknownHeading, in.UnknownLead
	case kindLimit:
		s.Heading, s.Lead = in.LimitHeading, in.sprintf(in.LimitLead, strconv.Itoa(int(math.Ceil(v.After.Minutes()))))
	default:
		s.Heading, s.Lead, s.Button = in.UnavailableHeading, in.UnavailableLead, in.AgainButton
	}
}

// opens is the text that says from when, or until when, the key opens doors.
func (in *words) opens(p guest.Page, now time.Time) string {
	switch {
	case p.OpensFrom != nil && now.Before(*p.OpensFrom):
		return in.sprintf(in.OpensFrom, in.date(*p.OpensFrom))
	case p.OpensTo != nil:
		return in.sprintf(in.OpensTo, in.date(*p.OpensTo))
	default:
		return ""
	}
}

func locationOf(p guest.Page) *time.Location {
	if p.CheckIn != nil {
		return p.CheckIn.Location()
	}
	return time.UTC
}

// zoneName is the city of a zone: Madrid for Europe/Madrid.
func zoneName(l *time.Location) string {
	name := l.String()
	return strings.ReplaceAll(name[strings.LastIndexByte(name, '/')+1:], "_", " ")
}

// safeURL is the address of an instant key, which html/template can't know to be safe: only https is.
func safeURL(url string) template.URL {
	if !strings.HasPrefix(url, "https://") {
		return ""
	}
	return template.URL(url) // #nosec G203 -- escaped as an attribute all the same
}

// brand sets the color of buttons, and black or white text on them, whichever has more contrast.
func brand(color string) string {
	if len(color) != 7 {
		return ""
	}
	n, err := strconv.ParseUint(color[1:], 16, 32)
	if err != nil {
		return ""
	}
	text := "#ffffff"
	// above this, black has more contrast than white (WCAG 2.2)
	if luminance(float64(n>>16&0xff), float64(n>>8&0xff), float64(n&0xff)) > 0.179 {
		text = "#000000"
	}
	return ":root{--brand:" + color + ";--on-brand:" + text + "}"
}

// luminance is the relative luminance of a color (WCAG 2.2).
func luminance(r, g, b float64) float64 {
	linear := func(c float64) float64 {
		if c /= 255; c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(r) + 0.7152*linear(g) + 0.0722*linear(b)
}
