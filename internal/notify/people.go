package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wneessen/go-mail"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Messages for people: a chat that takes {"text": ...}, or e-mail. What is due at a time is one message.

// Kinds of a subscription.
const (
	KindWebhook = "webhook" // a program
	KindSlack   = "slack"   // a chat's incoming webhook
	KindEmail   = "email"
)

// togetherAtMost is how many stays one message for people is about.
const togetherAtMost = 50

// PeopleTypes are the events that people are notified of by default.
func PeopleTypes() []string { return []string{TypeWithheld, TypeAttention, TypeAtRisk} }

// Mail configures how e-mail is sent.
type Mail struct {
	Host     string
	Port     int
	Username string // "": no authentication
	Password string
	TLS      string // MailStartTLS, MailTLS or MailPlain
	From     string
	To       []string
}

// Transport security of the connection to a mail server.
const (
	MailStartTLS = "starttls"
	MailTLS      = "tls"
	MailPlain    = "none"
)

// Digest is when a subscription gets a daily summary.
type Digest struct{ Hour, Minute int }

// next is the first time after now that the digest is due, in the subscription's zone.
func (d Digest) next(now time.Time, zone *time.Location) time.Time {
	local := now.In(zone)
	for day := 0; ; day++ {
		at := time.Date(local.Year(), local.Month(), local.Day()+day, d.Hour, d.Minute, 0, 0, zone)
		if at.After(now) {
			return at.UTC()
		}
	}
}

// ForPeople reports whether the subscription is for people, not for programs.
func (s Subscription) ForPeople() bool { return s.Kind == KindSlack || s.Kind == KindEmail }

// letter is a message for people.
type letter struct{ subject, text string }

// headings say what an event means, for one stay and for several.
var headings = []struct{ kind, one, many string }{
	{TypeAttention, "1 stay needs a person", "%d stays need a person"},
	{TypeAtRisk, "1 stay has a door that may not open", "%d stays have doors that may not open"},
	{TypeWithheld, "1 key is withheld by a gate", "%d keys are withheld by a gate"},
	{TypeRecovered, "1 stay no longer needs a person", "%d stays no longer need a person"},
	{TypeReady, "1 key is ready", "%d keys are ready"},
	{TypeChanged, "1 key changed", "%d keys changed"},
	{TypeRevoked, "1 key is revoked", "%d keys are revoked"},
	{TypeExpired, "1 stay is over", "%d stays are over"},
	{TypeDenied, "A door was refused to 1 guest", "Doors were refused to %d guests"},
	{TypeFirstUsed, "1 guest opened a door for the first time", "%d guests opened a door for the first time"},
}

func heading(kind string, n int) string {
	for _, h := range headings {
		if h.kind == kind && n == 1 {
			return h.one
		}
		if h.kind == kind {
			return fmt.Sprintf(h.many, n)
		}
	}
	return kind
}

// compose describes what happened, by kind. The first heading is the subject.
func (s Subscription) compose(claimed []store.ClaimedDelivery, gates func(source string) []pms.Gate,
	adminURL string,
) letter {
	var l letter
	var b strings.Builder
	for _, h := range headings {
		var lines []string
		for _, c := range claimed {
			if c.Type == h.kind {
				why := reasonFor(c.Present)
				switch c.Type {
				case TypeWithheld:
					why = closedGates(closed(gates(c.Present.Source), c.Present))
				case TypeAtRisk:
					why = stay.DescribeDoors(c.Present.DoorsAtRisk)
				}
				lines = append(lines, s.line(c.Present, why, adminURL))
			}
		}
		if len(lines) == 0 {
			continue
		}
		title := heading(h.kind, len(lines))
		if l.subject == "" {
			l.subject = title
		}
		b.WriteString(title + ":\n" + strings.Join(lines, "\n") + "\n\n")
	}

	l.text = strings.TrimSpace(b.String())
	return l
}

// line is a stay in a message. It includes the guest's name only if the subscription asks for it.
func (s Subscription) line(p store.StayState, why, adminURL string) string {
	parts := []string{p.ReservationID}
	if listing := stay.Text(p.ListingName); listing != "" {
		parts = append(parts, listing)
	}
	if s.GuestName && stay.Text(p.GuestName) != "" {
		parts = append(parts, *p.GuestName)
	}
	if p.CheckIn != nil {
		parts = append(parts, "arrives "+p.CheckIn.In(s.zone()).Format("2006-01-02 15:04"))
	}
	text := "- " + oneLine(strings.Join(parts, ", "))
	if why != "" {
		text += ": " + oneLine(why)
	}
	if s.Kind == KindSlack {
		text = unmarked(text)
	}
	if adminURL != "" {
		text += " " + adminURL + "/reservations/" + url.PathEscape(p.Source) + "/" + url.PathEscape(p.ReservationID)
	}
	return text
}

// reasonFor is why the key has its status. What admins wrote is left out: it may be about the guest.
func reasonFor(p store.StayState) string {
	switch stay.Text(p.Reason) {
	case stay.ReasonHeld:
		return "On hold by an admin: nothing is changed at Seam until the hold is released."
	case stay.ReasonRevokedByAdmin:
		return "An admin revoked the key."
	}
	return stay.Text(p.Message)
}

// closedGates lists closed gates by name.
func closedGates(gates []stay.Gate) string {
	parts := make([]string, len(gates))
	for i, g := range gates {
		parts[i] = g.Name + " is " + g.State
	}
	return strings.Join(parts, ", ")
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func (s Subscription) zone() *time.Location {
	if s.Zone == nil {
		return time.UTC
	}
	return s.Zone
}

// chatEscapes keep what others wrote from being markup or a mention (Slack, "Formatting text for app surfaces").
var chatEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// chatMarks are what Mattermost takes for a mention (@all) or for a link with another text ([here](https://...)). It
// looks for mentions after dots, dashes and underscores, too; an e-mail address has a letter or digit before its @.
var chatMarks = regexp.MustCompile(`(^|[^\pL\pN])@([\pL\pN])|\]\(`)

// unmarked keeps what others wrote, such as the name of a guest, from calling everybody or hiding an address, by a
// space that nobody sees.
func unmarked(text string) string {
	return chatMarks.ReplaceAllStringFunc(text, func(mark string) string {
		_, last := utf8.DecodeLastRuneInString(mark)
		end := len(mark) - last
		return mark[:end] + "\u200b" + mark[end:]
	})
}

// sendLetter sends a message to people. id is one of its deliveries.
func (c clients) sendLetter(ctx context.Context, s Subscription, id string, l letter, userAgent string,
	now func() time.Time,
) (outcome, store.AttemptResult) {
	if s.Kind == KindSlack {
		text := chatEscapes.Replace(l.text)
		if !strings.HasPrefix(l.text, l.subject) {
			text = chatEscapes.Replace(l.subject) + "\n" + text
		}
		return c.send(ctx, s, post{body: encode(map[string]string{"text": text})}, userAgent, now)
	}
	result := store.AttemptResult{At: now()}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	code, err := mailLetter(ctx, s, id, l, result.At)
	result.Duration, result.StatusCode = time.Since(began), code
	if err != nil {
		result.Error = explainMail(err)
		return outcome{status: code}, result
	}
	return outcome{status: code}, result
}

// tlsDialer uses TLS from the first byte (implicit TLS).
func tlsDialer(dialer *net.Dialer, host string) func(context.Context, string, string) (net.Conn, error) {
	return (&tls.Dialer{
		NetDialer: dialer,
		Config:    &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12},
	}).DialContext
}

// mailAccepted is a mail server's reply to a message that it takes (RFC 5321, section 4.2.3).
const mailAccepted = 250

func mailLetter(ctx context.Context, s Subscription, id string, l letter, at time.Time) (int, error) {
	m := mail.NewMsg()
	if err := errors.Join(m.From(s.Mail.From), m.To(s.Mail.To...)); err != nil {
		return 0, err
	}
	m.Subject("staykey: " + l.subject)
	m.SetDateWithValue(at)
	m.SetMessageIDWithValue(id + "@staykey")
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetBodyString(mail.TypeTextPlain, l.text+"\n")
	dialer := &net.Dialer{Timeout: answerWithin}
	if !s.Insecure {
		dialer.Control = onlyPublic
	}
	options := []mail.Option{
		mail.WithPort(s.Mail.Port), mail.WithTimeout(answerWithin),
		mail.WithDialContextFunc(dialer.DialContext),
	}
	switch s.Mail.TLS {
	case MailTLS:
		options = append(options, mail.WithSSL(), mail.WithDialContextFunc(tlsDialer(dialer, s.Mail.Host)))
	case MailPlain:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if s.Mail.Username != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(s.Mail.Username),
			mail.WithPassword(s.Mail.Password))
	}
	client, err := mail.NewClient(s.Mail.Host, options...)
	if err != nil {
		return 0, err
	}
	if err := client.DialAndSendWithContext(ctx, m); err != nil {
		code := 0
		if sent := new(mail.SendError); errors.As(err, &sent) && sent.ErrorCode() >= 400 {
			code = sent.ErrorCode()
		}
		return code, err
	}
	return mailAccepted, nil
}

// explainMail describes why a message was not accepted, without the addresses and texts of the mail server's answer.
func explainMail(err error) string {
	if sent := new(mail.SendError); errors.As(err, &sent) && sent.ErrorCode() >= 400 {
		return "the mail server answered " + strconv.Itoa(sent.ErrorCode())
	}
	text := explain(err)
	if strings.HasPrefix(text, "the request failed") {
		return "the mail server refused to be spoken to: see host, port, tls, username and password"
	}
	return text
}
