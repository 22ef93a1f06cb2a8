package notify

import (
	"net/url"
	"slices"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

// Subscription is a subscription as it is configured.
type Subscription struct {
	Name     string
	URL      string
	Secrets  []pms.Secret
	Events   []string // types; nil for all
	Sources  []string // nil for all
	Insecure bool     // plain http, and private and loopback addresses, are allowed

	Kind      string         // KindWebhook unless it is set
	GuestName bool           // messages for people may name the guest
	Zone      *time.Location // of times in messages for people, and of the digest; nil for UTC
	Digest    *Digest        // nil: none
	Mail      *Mail          // of KindEmail
}

// Wants reports whether the subscription is about events of a type.
func (s Subscription) Wants(kind string) bool {
	return s.Events == nil || slices.Contains(s.Events, kind)
}

// Receiver is where the subscription's messages go, without the parts that may be secret.
func (s Subscription) Receiver() string {
	if s.Mail != nil {
		return "smtp://" + s.Mail.Host
	}
	u, err := url.Parse(s.URL)
	if err != nil {
		return ""
	}
	if u.Path == "" || u.Path == "/" {
		return u.Scheme + "://" + u.Host
	}
	return u.Scheme + "://" + u.Host + "/…"
}

// Hidden returns the texts of the subscription that must never be shown: its secrets, and its address, whose path may
// be one.
func (s Subscription) Hidden() []string {
	hidden := []string{}
	switch {
	case s.Mail != nil:
		hidden = append(hidden, s.Mail.Password)
	case s.Receiver() != s.URL:
		hidden = append(hidden, s.URL)
	}
	for _, secret := range s.Secrets {
		hidden = append(hidden, secret.String())
	}
	return hidden
}

func (s Subscription) scope() store.Scope {
	return store.Scope{Subscription: s.Name, Sources: s.Sources}
}
