package notify

import (
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/store"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	now := time.Date(2024, 11, 1, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) *time.Time { t := now.Add(-d); return &t }
	in := func(d time.Duration) *time.Time { t := now.Add(d); return &t }
	long := ago(disableAfter)
	tests := []struct {
		name   string
		o      outcome
		sub    store.Subscription
		tries  int
		jitter float64
		want   store.AttemptNext
	}{
		{"200", outcome{status: 200}, store.Subscription{}, 3, 0, store.AttemptNext{Delivered: true}},
		{
			"204 after days of failures",
			outcome{status: 204},
			store.Subscription{FailingSince: long, Failures: 50},
			11,
			0,
			store.AttemptNext{Delivered: true},
		},
		{"no answer", outcome{}, store.Subscription{}, 0, 0, store.AttemptNext{RetryAt: now.Add(5 * time.Second)}},
		{
			"500",
			outcome{status: 500},
			store.Subscription{},
			1, 0,
			store.AttemptNext{RetryAt: now.Add(30 * time.Second)},
		},
		{
			"a redirect is a failure",
			outcome{status: 302},
			store.Subscription{},
			2, 0,
			store.AttemptNext{RetryAt: now.Add(2 * time.Minute)},
		},
		{
			"400 too",
			outcome{status: 400},
			store.Subscription{},
			3, 0,
			store.AttemptNext{RetryAt: now.Add(10 * time.Minute)},
		},
		{
			"jitter",
			outcome{status: 500},
			store.Subscription{},
			4, 0.5,
			store.AttemptNext{RetryAt: now.Add(33 * time.Minute)},
		},
		{
			"the last wait repeats",
			outcome{status: 500},
			store.Subscription{},
			99, 0,
			store.AttemptNext{RetryAt: now.Add(24 * time.Hour)},
		},
		{
			"410",
			outcome{status: 410},
			store.Subscription{},
			0, 0,
			store.AttemptNext{RetryAt: now.Add(5 * time.Second), Disable: "the receiver answered 410 Gone"},
		},
		{
			"429 with Retry-After",
			outcome{status: 429, retryAfter: time.Minute},
			store.Subscription{},
			0, 0,
			store.AttemptNext{RetryAt: now.Add(time.Minute), NotBefore: in(time.Minute)},
		},
		{
			"503 with Retry-After",
			outcome{status: 503, retryAfter: time.Minute},
			store.Subscription{},
			0, 0,
			store.AttemptNext{RetryAt: now.Add(time.Minute), NotBefore: in(time.Minute)},
		},
		{
			"Retry-After is about one message elsewhere",
			outcome{status: 500, retryAfter: time.Minute},
			store.Subscription{},
			0, 0,
			store.AttemptNext{RetryAt: now.Add(time.Minute)},
		},
		{
			"a short Retry-After doesn't shorten the schedule",
			outcome{status: 429, retryAfter: time.Second},
			store.Subscription{},
			2, 0,
			store.AttemptNext{
				RetryAt:   now.Add(2 * time.Minute),
				NotBefore: in(time.Second),
			},
		},
		{
			"Retry-After is bounded",
			outcome{status: 429, retryAfter: 1000 * time.Hour},
			store.Subscription{},
			0, 0,
			store.AttemptNext{RetryAt: now.Add(24 * time.Hour), NotBefore: in(24 * time.Hour)},
		},
		{
			"5 days of failures only",
			outcome{status: 500},
			store.Subscription{FailingSince: long, Failures: 9},
			0, 0,
			store.AttemptNext{RetryAt: now.Add(5 * time.Second), Disable: "nothing was delivered for 5 days"},
		},
		{"a second less", outcome{status: 500}, store.Subscription{
			FailingSince: ago(disableAfter - time.Second),
			Failures:     99,
		}, 0, 0, store.AttemptNext{RetryAt: now.Add(5 * time.Second)}},
		{
			"two failures that are far apart prove little",
			outcome{status: 500},
			store.Subscription{FailingSince: ago(100 * 24 * time.Hour), Failures: 1},
			0, 0,
			store.AttemptNext{RetryAt: now.Add(5 * time.Second)},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, judge(tt.o, tt.sub, tt.tries, now, tt.jitter)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// One stay that is tried repeatedly: the schedule of docs/events-out.md.
func TestRetrySchedule(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var got []string
	for tries := range 13 {
		got = append(got, judge(outcome{status: 500}, store.Subscription{}, tries, now, 0).RetryAt.Sub(now).String())
	}
	want := "5s 30s 2m0s 10m0s 30m0s 1h0m0s 2h0m0s 4h0m0s 8h0m0s 12h0m0s 24h0m0s 24h0m0s 24h0m0s"
	if strings.Join(got, " ") != want {
		t.Errorf("waits are %s, want %s", strings.Join(got, " "), want)
	}
}

func TestRetryAfterHeader(t *testing.T) {
	t.Parallel()
	now := time.Date(2024, 11, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "120": 2 * time.Minute, "0": 0, "-5": 0, "soon": 0, "99999999999": maxSilence,
		"Fri, 01 Nov 2024 12:01:00 GMT": time.Minute, "Fri, 01 Nov 2024 11:00:00 GMT": 0,
	} {
		if got := parseRetryAfter(text, now); got != want {
			t.Errorf("Retry-After %q is %s, want %s", text, got, want)
		}
	}
}

func TestOnlyPublicAddresses(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		// Public ones, also of IPv4 in IPv6.
		"8.8.8.8": true, "2606:4700::1111": true, "::ffff:8.8.8.8": true, "64:ff9b::808:808": true,
		// This machine.
		"127.0.0.1": false, "127.9.9.9": false, "::1": false, "0.0.0.0": false, "::": false,
		// Private networks, and those of a provider.
		"10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "fd00::1": false, "fec0::1": false,
		"100.64.0.1": false,
		// The link, where a cloud answers with credentials.
		"169.254.169.254": false, "fe80::1%eth0": false,
		// This machine and private networks, as IPv4 in IPv6.
		"::ffff:127.0.0.1": false, "::127.0.0.1": false, "64:ff9b::7f00:1": false, "64:ff9b::a00:1": false,
		"2002:7f00:1::": false,
		// Addresses of many, of tests and of documentation.
		"224.0.0.1": false, "ff02::1": false, "255.255.255.255": false, "198.18.0.1": false, "2001:db8::1": false,
	} {
		if got := public(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: public is %t, want %t", address, got, want)
		}
	}
}

func TestExcerptIsStorable(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"NUL and no UTF-8": "a\x00\xffb", "long": strings.Repeat("é", 400),
		"long, three bytes each": strings.Repeat("€", 400),
	} {
		got := excerpt([]byte(content))
		if len(got) > keepAtMost || strings.ContainsRune(got, 0) || !utf8.ValidString(got) || got == "" {
			t.Errorf("%s: %q", name, got)
		}
	}
}
