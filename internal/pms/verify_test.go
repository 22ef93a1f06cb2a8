package pms_test

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/pms"
)

// The vector that Hospitable publishes, and ours for the other spellings of the same signature.
func TestVerifiers(t *testing.T) {
	t.Parallel()
	const (
		body  = `{"foo":"bar"}`
		hex   = "cc99bf5947391ddb0d0d9866f5b9d3a68e8b273c5ac8f699b4ae2399a7433118" // of the key 123456
		upper = "CC99BF5947391DDB0D0D9866F5B9D3A68E8B273C5AC8F699B4AE2399A7433118"
		in64  = "zJm/WUc5HdsNDZhm9bnTpo6LJzxayPaZtK4jmadDMRg="
	)
	h := func(name, value string) pms.Post {
		return pms.Post{Header: http.Header{name: {value}}, Body: []byte(body)}
	}
	query := func(q string) pms.Post {
		values, _ := url.ParseQuery(q)
		return pms.Post{Header: http.Header{}, Query: values, Body: []byte(body)}
	}
	path := func(p string) pms.Post { return pms.Post{Header: http.Header{}, Path: p} }
	keys := []string{"another", "123456"}
	tokens := []string{"an-old-token-of-the-pms", "a-new-token-of-the-pms"}
	for name, c := range map[string]struct {
		settings pms.VerifySettings
		secrets  []string
		post     pms.Post
		secret   int // 0: refused
	}{
		"hmac": {
			pms.VerifySettings{Method: "hmac", Header: "Signature"},
			keys,
			h("Signature", hex), 2,
		},
		"hmac, upper case": {
			pms.VerifySettings{Method: "hmac", Header: "Signature"},
			keys,
			h("Signature", upper), 2,
		},
		"hmac, prefix": {pms.VerifySettings{
			Method: "hmac", Header: "ms-signature",
			Prefix: "sha256=",
		}, keys, h("Ms-Signature", "sha256="+upper), 2},
		"hmac, prefix missing": {pms.VerifySettings{
			Method: "hmac", Header: "ms-signature",
			Prefix: "sha256=",
		}, keys, h("Ms-Signature", hex), 0},
		"hmac, base64": {
			pms.VerifySettings{Method: "hmac", Header: "Signature", Encoding: "base64"},
			keys, h("Signature", in64), 2,
		},
		"hmac, base64 without padding": {
			pms.VerifySettings{Method: "hmac", Header: "Signature", Encoding: "base64"},
			keys, h("Signature", in64[:len(in64)-1]), 2,
		},
		"hmac, another algorithm": {pms.VerifySettings{
			Method: "hmac", Header: "Signature",
			Algorithm: "sha512",
		}, keys, h("Signature", hex), 0},
		"hmac, one digit less": {
			pms.VerifySettings{Method: "hmac", Header: "Signature"},
			keys,
			h("Signature", hex[:62]), 0,
		},
		"hmac, empty": {
			pms.VerifySettings{Method: "hmac", Header: "Signature"},
			keys,
			h("Signature", ""), 0,
		},
		"hmac, no header": {
			pms.VerifySettings{Method: "hmac", Header: "Signature"},
			keys,
			h("Other", hex), 0,
		},
		"hmac, no secret that is right": {
			pms.VerifySettings{Method: "hmac", Header: "Signature"},
			keys[:1],
			h("Signature", hex), 0,
		},
		"basic": {
			pms.VerifySettings{Method: "basic"},
			[]string{"u:password-1", "u:password-2"},
			h("Authorization", "Basic dTpwYXNzd29yZC0y"), 2,
		},
		"basic, wrong": {
			pms.VerifySettings{Method: "basic"},
			[]string{"u:password-1"},
			h("Authorization", "Basic dTpwYXNzd29yZC0y"), 0,
		},
		"basic, none": {
			pms.VerifySettings{Method: "basic"},
			[]string{"u:password-1"},
			h("Authorization", "Bearer u:password-1"), 0,
		},
		"bearer": {
			pms.VerifySettings{Method: "bearer"},
			tokens,
			h("Authorization", "bearer a-new-token-of-the-pms"), 2,
		},
		"bearer, wrong": {
			pms.VerifySettings{Method: "bearer"},
			tokens,
			h("Authorization", "Bearer a-new-token-of-the-pmS"), 0,
		},
		"bearer, empty": {
			pms.VerifySettings{Method: "bearer"},
			tokens, h("Authorization", "Bearer "),
			0,
		},
		"a header": {
			pms.VerifySettings{Method: "header", Header: "X-Token"},
			tokens,
			h("X-Token", "an-old-token-of-the-pms"), 1,
		},
		"a header, wrong": {
			pms.VerifySettings{Method: "header", Header: "X-Token"},
			tokens,
			h("X-Token", "an-old-token-of-the-pm"), 0,
		},
		"in the query": {
			pms.VerifySettings{Method: "url-token", Parameter: "key"},
			tokens,
			query("key=a-new-token-of-the-pms&a=b"), 2,
		},
		"in the query, by another name": {
			pms.VerifySettings{Method: "url-token", Parameter: "key"},
			tokens,
			query("token=a-new-token-of-the-pms"), 0,
		},
		"in the path": {
			pms.VerifySettings{Method: "url-token"},
			tokens,
			path("a-new-token-of-the-pms"), 2,
		},
		"in the path, with more after": {
			pms.VerifySettings{Method: "url-token"},
			tokens,
			path("a-new-token-of-the-pms/bookings"), 2,
		},
		"in the path, not the first part": {
			pms.VerifySettings{Method: "url-token"},
			tokens,
			path("x/a-new-token-of-the-pms"), 0,
		},
		"in the path, none": {pms.VerifySettings{Method: "url-token"}, tokens, path(""), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, problems := pms.NewVerifier(c.settings, c.secrets)
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			proof, err := v.Verify(c.post, time.Now())
			if (err == nil) != (c.secret > 0) || (err != nil && !errors.Is(err, pms.ErrUnauthentic)) ||
				proof.Secret != c.secret {
				t.Errorf("secret %d, %v; want %d", proof.Secret, err, c.secret)
			}
		})
	}
}

func TestVerifiersThatCantBe(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings pms.VerifySettings
		secrets  []string
		want     []string
	}{
		"nothing": {pms.VerifySettings{}, nil, []string{"secrets", "method"}},
		"short": {
			pms.VerifySettings{Method: "url-token"},
			[]string{"long enough to be a secret", "short"},
			[]string{"secrets[1]"},
		},
		"no header": {pms.VerifySettings{Method: "header"}, []string{"long enough"}, []string{"header"}},
		"not its own": {
			pms.VerifySettings{Method: "bearer", Algorithm: "sha256"},
			[]string{"long enough"},
			[]string{"algorithm"},
		},
		"no password": {
			pms.VerifySettings{Method: "basic"},
			[]string{"password", ":password", "u:short"},
			[]string{"secrets[0]", "secrets[1]", "secrets[2]"},
		},
		"no whsec": {pms.VerifySettings{Method: "standard-webhooks"}, []string{"secret"}, []string{"secrets[0]"}},
		"all of hmac": {
			pms.VerifySettings{Method: "hmac", Algorithm: "md5", Encoding: "base32"},
			[]string{"x"},
			[]string{"secrets[0]", "header", "algorithm", "encoding"},
		},
		"another word": {pms.VerifySettings{Method: "trust"}, []string{"x"}, []string{"method"}},
	} {
		v, problems := pms.NewVerifier(c.settings, c.secrets)
		var got []string
		for _, p := range problems {
			got = append(got, p.Field)
		}
		if diff := cmp.Diff(c.want, got); diff != "" || v != nil {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if _, err := (pms.Source{}).Verify(pms.Post{}, time.Now()); !errors.Is(err, pms.ErrUnauthentic) {
		t.Errorf("a source without a verifier takes anything: %v", err)
	}
}

// What is kept of a POST never holds what authenticates it.
func TestWhatIsKept(t *testing.T) {
	t.Parallel()
	d := pms.Post{
		Header: http.Header{
			"X-Token": {"secret"}, "Authorization": {"secret"}, "Cookie": {"secret"}, "X-Signature": {"secret"},
			"X-Event": {"created"}, "X-Forwarded-For": {"192.0.2.1"},
			"X-Original-Uri": {"/webhooks/a/secret"}, "X-Rewrite-Url": {"/webhooks/a/secret"}, "X-Request-Uri": {"/a"},
			"Referer": {"https://a.example/secret"}, "X-Anything": {"at /a/secret/b"},
		},
		Query: url.Values{"key": {"secret"}, "event": {"created"}}, Path: "secret/rest",
	}
	for name, c := range map[string]struct {
		carrier pms.Carrier
		want    pms.Request
	}{
		"in a header": {pms.Carrier{Header: "X-Token"}, pms.Request{
			Headers: map[string]string{"x-event": "created"},
			Query:   map[string]string{"event": "created"},
		}},
		"in the URL": {
			pms.Carrier{Query: "key", Path: true, Header: "X-Token"},
			pms.Request{
				Headers: map[string]string{"x-event": "created"}, Query: map[string]string{"event": "created"},
				Path: "rest",
			},
		},
	} {
		if diff := cmp.Diff(c.want, pms.Kept(d, c.carrier)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	list := pms.Addresses{netip.MustParsePrefix("38.80.170.0/24"), netip.MustParsePrefix("2001:db8::1/128")}
	for address, want := range map[string]bool{
		"38.80.170.7": true, "::ffff:38.80.170.7": true, "38.80.171.7": false,
		"2001:db8::1": true, "2001:db8::2": false,
	} {
		if got := list.Allow(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
	if list.Allow(netip.Addr{}) || !(pms.Addresses{}).Allow(netip.Addr{}) {
		t.Error("an unknown address")
	}
}
