package main

import (
	"context"
	"fmt"
	"math"
	netmail "net/mail"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/admin"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/notify"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

// stopDeliveries is how long messages on their way may take to arrive at a graceful stop. What is cut off is sent again.
const stopDeliveries = 5 * time.Second

// loadSubscriptions reads the subscriptions of the config file (contract section 9).
func (m mapping) loadSubscriptions(known func(source string) bool) []notify.Subscription {
	var all []notify.Subscription
	for _, entry := range m.mappings("subscriptions") {
		s := entry.subscription(known)
		if slices.ContainsFunc(all, func(other notify.Subscription) bool { return other.Name == s.Name }) {
			entry.wrong("name", "%q is defined twice", s.Name)
		}
		all = append(all, s)
	}
	return all
}

func (m mapping) subscription(known func(source string) bool) notify.Subscription {
	s := notify.Subscription{Name: m.text("name"), Kind: or(m.text("kind"), notify.KindWebhook), Insecure: m.flag("insecure")}
	if !sourceName.MatchString(s.Name) {
		m.wrong("name", "%q must be letters, digits, dots, dashes and underscores, at most 100", s.Name)
	}
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
	s.Events = m.chosen("events", "is not an event type; expected one of "+strings.Join(notify.Types(), ", "), func(kind string) bool { return slices.Contains(notify.Types(), kind) })
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
	if zone, err := time.LoadLocation(or(m.zone("time_zone"), "UTC")); err == nil { // else it has been said
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
	for _, field := range []string{"from", "to"} {
		addresses := mail.To
		if field == "from" {
			addresses = []string{mail.From}
		}
		if len(addresses) == 0 {
			m.wrong(field, "is required: an e-mail address")
		}
		for _, address := range addresses {
			if parsed, err := netmail.ParseAddress(address); err != nil || parsed.Address == "" {
				m.wrong(field, "%q must be an e-mail address", address)
			}
		}
	}
	smtp, ok := m.inner("smtp")
	if !ok {
		m.wrong("smtp", `is required: {host: smtp.example.com, port: 587, username: ..., password: "${SMTP_PASSWORD}"}`)
		return mail
	}
	if mail.Host = smtp.text("host"); mail.Host == "" || strings.ContainsAny(mail.Host, " :/") {
		smtp.wrong("host", "is required: the mail server's name, without a port")
	}
	switch security := smtp.text("tls"); security {
	case "", notify.MailStartTLS:
	case notify.MailTLS:
		mail.TLS, mail.Port = notify.MailTLS, 465
	case notify.MailPlain:
		mail.TLS, mail.Port = notify.MailPlain, 25
	default:
		smtp.wrong("tls", "%q must be starttls, tls or none", security)
	}
	if port := smtp.number("port", 65535, "587"); port > 0 {
		mail.Port = int(port)
	}
	mail.Username, mail.Password = smtp.text("username"), smtp.text("password")
	if (mail.Username == "") != (mail.Password == "") {
		smtp.wrong("password", "username and password go together: set both or neither")
	}
	smtp.done()
	return mail
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
		case text == "": // that a variable is missing has been said
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
	if len(names) == 0 && m.said(field) {
		m.wrong(field, "must name at least one; leave it out for all")
	}
	for i, name := range names {
		if !known(name) {
			m.fail(nodes[i], fmt.Sprintf("%s[%d]", m.name(field), i), "%q %s", name, problem)
		}
	}
	return names
}

func subscriptionNames(list []notify.Subscription) []string {
	names := make([]string, len(list))
	for i, s := range list {
		names[i] = s.Name
	}
	return names
}

// subscriptions are those of the configuration by now.
func (s *service) subscriptions() []notify.Subscription { return s.sources.Load().Subscriptions }

// subscriptionSettings are what REST and the page show of them.
func (s *service) subscriptionSettings() []admin.SubscriptionSettings {
	list := s.subscriptions()
	out := make([]admin.SubscriptionSettings, len(list))
	for i, sub := range list {
		out[i] = admin.SubscriptionSettings{
			Name: sub.Name, Kind: sub.Kind, URL: sub.Place(), Events: sub.Events, Sources: sub.Sources, Insecure: sub.Insecure, Secrets: len(sub.Secrets),
		}
	}
	return out
}

// testSubscription sends a test message.
func (s *service) testSubscription(ctx context.Context, name string) (store.Delivery, store.AttemptResult, error) {
	for _, sub := range s.subscriptions() {
		if sub.Name == name {
			return s.notifier.Test(ctx, sub)
		}
	}
	return store.Delivery{}, store.AttemptResult{}, store.ErrNotFound
}

var (
	subscriptionUntold   = prometheus.NewDesc("staykey_subscription_untold_stays", "Stays whose current state a subscription may not have received, counted up to 10,000.", []string{"subscription"}, nil)
	subscriptionFailing  = prometheus.NewDesc("staykey_subscription_failing_seconds", "How long all attempts at a subscription's receiver have failed; 0 while it works.", []string{"subscription"}, nil)
	subscriptionDisabled = prometheus.NewDesc("staykey_subscription_disabled", "1 while a subscription is disabled.", []string{"subscription"}, nil)
)

// subscriptionCollector reads how subscriptions are doing when it is asked for.
type subscriptionCollector struct {
	store         *store.Store
	subscriptions func() []notify.Subscription
	gone          func() bool // Postgres is known not to answer
}

// Describe implements prometheus.Collector.
func (c subscriptionCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{subscriptionUntold, subscriptionFailing, subscriptionDisabled} {
		descs <- d
	}
}

// Collect implements prometheus.Collector. What can't be read is not a number, so that nobody takes it for none.
func (c subscriptionCollector) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := readingState(c.gone)
	defer cancel()
	list := c.subscriptions()
	names, scopes := subscriptionNames(list), make([]store.Scope, len(list))
	for i, s := range list {
		scopes[i] = store.Scope{Subscription: s.Name, Sources: s.Sources}
	}
	states, err := c.store.Subscriptions(ctx, names)
	untold := map[string]int{}
	if err == nil {
		untold, err = c.store.UntoldStays(ctx, scopes)
	}
	now := time.Now()
	for _, name := range names {
		values := []float64{math.NaN(), math.NaN(), math.NaN()}
		if state, seen := states[name]; err == nil && seen {
			values = []float64{float64(untold[name]), 0, 0}
			if state.FailingSince != nil {
				values[1] = max(now.Sub(*state.FailingSince), 0).Seconds()
			}
			if state.DisabledAt != nil {
				values[2] = 1
			}
		}
		for i, d := range []*prometheus.Desc{subscriptionUntold, subscriptionFailing, subscriptionDisabled} {
			metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, values[i], name)
		}
	}
}
