package fair_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/staykey/staykey/internal/fair"
)

func client(n int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("192.0.2.%d", n))
}

func TestClient(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::",
		"fe80::1%eth0": "fe80::",
	} {
		if got := fair.Client(netip.MustParseAddr(address)); got.String() != want {
			t.Errorf("%s counts as %s", address, got)
		}
	}
}

// Who is alone may have everything, and loses it as soon as others come.
func TestNewcomersTakeFromTheHeaviest(t *testing.T) {
	t.Parallel()
	const most = 12
	c := fair.New(most, nil)
	lost := map[int]int{}
	take := func(n int) bool {
		_, ok := c.Take(client(n), "", func() { lost[n]++ })
		return ok
	}
	for range most {
		if !take(1) {
			t.Fatal("a single client is refused below the ceiling")
		}
	}
	if take(1) {
		t.Error("it gets more than the ceiling")
	}
	for n := 2; n <= 4; n++ {
		for range 3 {
			if !take(n) {
				t.Errorf("client %d is refused its share", n)
			}
		}
		if n == 4 && take(n) {
			t.Error("client 4 gets more than its share")
		}
	}
	if lost[1] != 9 || lost[2]+lost[3]+lost[4] != 0 {
		t.Errorf("places lost by client: %v", lost)
	}
	if s := c.State(); s.InUse != most || s.Evicted != 9 || s.Refused != 2 {
		t.Errorf("%+v", s)
	}
}

// Of the heaviest client's places the one that has been idle for longest goes first, then the oldest. What is idle goes
// also where nobody has more than a share.
func TestIdlePlacesGoFirst(t *testing.T) {
	t.Parallel()
	c := fair.New(3, nil)
	lost := ""
	take := func(n int, name string) *fair.Permit {
		p, ok := c.Take(client(n), "", func() { lost = name })
		if !ok {
			t.Fatalf("%s is refused", name)
		}
		return p
	}
	take(1, "busy")
	first, second := take(1, "idle first"), take(1, "idle second")
	first.SetIdle(true)
	second.SetIdle(true)
	take(2, "newcomer")
	if lost != "idle first" || !first.Lost() || second.Lost() {
		t.Errorf("%q is lost", lost)
	}
	take(3, "another")
	if lost != "idle second" {
		t.Errorf("%q is lost", lost)
	}
	if _, ok := c.Take(client(4), "", func() {}); ok {
		t.Error("a busy place was taken where all have a share")
	}
}

// Connections of a trusted proxy are many clients': they are the last to go.
func TestTrustedPlacesGoLast(t *testing.T) {
	t.Parallel()
	c := fair.New(6, func(a netip.Addr) bool { return a == client(1) })
	var proxy []*fair.Permit
	for range 4 {
		p, _ := c.Take(client(1), "", func() {})
		p.SetIdle(true)
		proxy = append(proxy, p)
	}
	stranger, _ := c.Take(client(2), "", func() {})
	for range 3 {
		c.Take(client(2), "", func() {})
	}
	for _, p := range proxy[1:] {
		if p.Lost() {
			t.Error("a stranger took the proxy's place")
		}
	}
	if p, ok := c.Take(client(1), "", func() {}); !ok || p.Lost() {
		t.Error("the proxy is refused")
	}
	_ = stranger
}

// Within one client, such as a proxy that is not known as one, the heaviest group gives way.
func TestGroupsOfOneClient(t *testing.T) {
	t.Parallel()
	c := fair.New(4, nil)
	lost := 0
	for range 4 {
		c.Take(client(1), "flooding source", func() { lost++ })
	}
	if _, ok := c.Take(client(1), "quiet source", func() {}); !ok || lost != 1 {
		t.Errorf("%t, %d lost", ok, lost)
	}
}

func TestWaiting(t *testing.T) {
	t.Parallel()
	c := fair.New(1, nil)
	p, _ := c.Take(client(1), "", func() { t.Error("evicted") })
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, ok := c.Wait(gone, client(2), "", func() {}); ok {
		t.Error("there was no place")
	}
	got := make(chan bool)
	go func() { _, ok := c.Wait(t.Context(), client(2), "", func() {}); got <- ok }()
	p.Release()
	p.Release()
	if !<-got {
		t.Error("the place that was given back was not had")
	}
	if s := c.State(); s.InUse != 1 {
		t.Errorf("%+v", s)
	}
}

// Whatever clients do: the ceiling holds, and one that holds less than its share is never refused.
func TestSharesHold(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		most, clients := rapid.IntRange(1, 20).Draw(r, "most"), rapid.IntRange(1, 6).Draw(r, "clients")
		c := fair.New(most, nil)
		permits := map[int][]*fair.Permit{}
		alive := func(n int) (places []*fair.Permit) {
			for _, p := range permits[n] {
				if !p.Lost() {
					places = append(places, p)
				}
			}
			return places
		}
		for range rapid.IntRange(1, 100).Draw(r, "steps") {
			n := rapid.IntRange(1, clients).Draw(r, "client")
			mine := alive(n)
			if len(mine) > 0 && rapid.IntRange(0, 3).Draw(r, "what") == 0 {
				mine[rapid.IntRange(0, len(mine)-1).Draw(r, "which")].Release()
				continue
			}
			p, ok := c.Take(client(n), "", func() {})
			if ok {
				permits[n] = append(permits[n], p)
			}
			if !ok && len(mine) < most/clients {
				r.Fatalf("client %d of %d holds %d of %d, and is refused", n, clients, len(mine), most)
			}
			total := 0
			for n := range clients {
				total += len(alive(n + 1))
			}
			if total != c.State().InUse || total > most {
				r.Fatalf("%d places are held, the ceiling says %d of %d", total, c.State().InUse, most)
			}
		}
	})
}
