package config

import (
	"cmp"
	"fmt"
	netmail "net/mail"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/notify"
	"github.com/staykey/staykey/internal/pms"
)

// loadSubscriptions reads the subscriptions of the config file (contract section 9).
func (m mapping) loadSubscriptions(known func(source string) bool) []notify.Subscription {
	var all []notify.Subscription
	names := map[string]string{}
	for _, entry := range m.mappings("subscriptions") {
		s := entry.subscription(known)
		entry.once(names, "name", s.Name)
		all = append(all, s)
	}
	return all
}

func (m mapping) subscription(known func(source string) bool) notify.Subscription {
	s := notify.Subscription{
		Name: m.ownName(), Kind: cmp.Or(m.text("kind"), notify.KindWebhook),
		Insecure: m.flag("insecure"),
	}
	m.remember("subscription", s.Name)
	switch s.Kind {
	case notify.KindWebhook:
		s.URL = m.receiver(s.Insecure)
		s.Secrets = m.signingSecrets()
	case notify.KindSlack:
		s.URL = m.receiver(s.Insecure)
		m.people(&s)
	case notify.KindEmail:
		s.Mail = m.mail()
		m.people(&s)
	default:
		m.wrong("kind", "%q must be webhook, slack or email", s.Kind)
	}
	s.Events = m.chosen("events", "is not an event type; expected one of "+strings.Join(notify.Types(), ", "),
		func(kind string) bool { return slices.Contains(notify.Types(), kind) })
	if s.Events == nil && s.ForPeople() {
		s.Events = notify.PeopleTypes()
	}
	s.Sources = m.chosen("sources", "is not a source of this configuration", known)
	m.done()
	return s
}

// people reads what messages for people are like.
func (m mapping) people(s *notify.Subscription) {
	switch guest := m.text("guest"); guest {
	case "", "none":
	case "name":
		s.GuestName = true
	default:
		m.wrong("guest", "%q must be none or name", guest)
	}
	s.Zone = time.UTC
	// otherwise it has been reported
	if zone, err := time.LoadLocation(cmp.Or(m.zone("time_zone"), "UTC")); err == nil {
		s.Zone = zone
	}
	if digest := m.clock("digest", ""); digest != "" {
		if at, err := time.Parse("15:04", digest); err == nil {
			s.Digest = &notify.Digest{Hour: at.Hour(), Minute: at.Minute()}
		}
	}
}

// mail reads where e-mail goes.
func (m mapping) mail() *notify.Mail {
	mail := &notify.Mail{From: m.text("from"), TLS: notify.MailStartTLS, Port: 587}
	mail.To, _ = m.list("to")
	m.checkAddresses("from", mail.From)
	m.checkAddresses("to", mail.To...)

	smtp, ok := m.inner("smtp")
	if !ok {
		m.wrong("smtp", `is required: {host: smtp.example.com, port: 587, username: ..., password: "${SMTP_PASSWORD}"}`)
		return mail
	}
	smtp.mailServer(mail)
	smtp.done()
	return mail
}

func (m mapping) checkAddresses(field string, addresses ...string) {
	if len(addresses) == 0 {
		m.wrong(field, "is required: an e-mail address")
	}
	for _, address := range addresses {
		if parsed, err := netmail.ParseAddress(address); err != nil || parsed.Address == "" {
			m.wrong(field, "%q must be an e-mail address", address)
		}
	}
}

// mailServer reads which server sends e-mail.
func (m mapping) mailServer(mail *notify.Mail) {
	if mail.Host = m.text("host"); mail.Host == "" || strings.ContainsAny(mail.Host, " :/") {
		m.wrong("host", "is required: the mail server's name, without a port")
	}

	switch security := m.text("tls"); security {
	case "", notify.MailStartTLS:
	case notify.MailTLS:
		mail.TLS, mail.Port = notify.MailTLS, 465
	case notify.MailPlain:
		mail.TLS, mail.Port = notify.MailPlain, 25
	default:
		m.wrong("tls", "%q must be starttls, tls or none", security)
	}

	if port := m.number("port", 65535, "587"); port > 0 {
		mail.Port = int(port)
	}

	mail.Username, mail.Password = m.text("username"), m.text("password")
	if (mail.Username == "") != (mail.Password == "") {
		m.wrong("password", "username and password go together: set both or neither")
	}
}

// receiver checks where messages go. Problems don't quote it: its path may be a secret.
func (m mapping) receiver(insecure bool) string {
	address := m.text("url")
	if address == "" {
		m.wrong("url", "is required: where messages are posted, such as https://app.example.com/hooks/staykey")
		return ""
	}
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil || u.Fragment != "":
		m.wrong("url", "must be a URL such as https://app.example.com/hooks/staykey, without a user or a fragment")
	case u.Scheme == "http" && !insecure:
		m.wrong("url", "must begin with https://; plain http also needs insecure: true")
	}
	return address
}

func (m mapping) signingSecrets() []pms.Secret {
	texts, nodes := m.list("secrets")
	if len(texts) == 0 {
		m.wrong("secrets", `is required: "whsec_" and base64 of 24 to 64 random bytes; each of several signs, for rotation`)
	}
	var secrets []pms.Secret
	for i, text := range texts {
		secret, err := pms.ParseSecret(text)
		switch {
		case text == "": // the missing variable has been reported
		case err != nil:
			m.fail(nodes[i], fmt.Sprintf("%s[%d]", m.name("secrets"), i), "%v", err)
		default:
			secrets = append(secrets, secret)
		}
	}
	return secrets
}

// chosen reads a list of names; nil where it is left out, which is all of them.
func (m mapping) chosen(field, problem string, known func(string) bool) []string {
	names, nodes := m.list(field)
	if len(names) == 0 && m.has(field) {
		m.wrong(field, "must name at least one; leave it out for all")
	}
	for i, name := range names {
		if !known(name) {
			m.fail(nodes[i], fmt.Sprintf("%s[%d]", m.name(field), i), "%q %s", name, problem)
		}
	}
	return names
}
