// Package fair shares a ceiling among clients, so that none of them can take what the others need. A single client has
// no limit of its own: one that is alone, such as a proxy in front, may take everything. But once the ceiling is
// reached, a new client gets a permit of the client that holds the most. With n clients, each can always have about an
// nth of the permits, whatever the others do.
package fair

import (
	"container/list"
	"context"
	"net/netip"
	"sync"
)

// Client is what counts as one client: an IPv4 address, or a /64 network of IPv6, of which one customer has at
// least one.
func Client(address netip.Addr) netip.Addr {
	address = address.Unmap()
	if address.Is6() {
		if prefix, err := address.WithZone("").Prefix(64); err == nil {
			return prefix.Addr()
		}
	}
	return address
}

// Ceiling is a number of permits. It is safe for concurrent use.
type Ceiling struct {
	most    int
	trusted func(netip.Addr) bool // permits of such a client are taken only if no others are left

	mu      sync.Mutex
	turn    uint64 // rises with each change, to compare ages
	inUse   int
	clients map[netip.Addr]*holder
	freed   chan struct{} // closed whenever a permit becomes free
	evicted int
	refused int
}

// New returns a ceiling of so many permits. trusted may be nil.
func New(most int, trusted func(netip.Addr) bool) *Ceiling {
	if trusted == nil {
		trusted = func(netip.Addr) bool { return false }
	}
	return &Ceiling{
		most: most, trusted: trusted, clients: map[netip.Addr]*holder{},
		freed: make(chan struct{}),
	}
}

// Permit is one client's hold on one of the permits.
type Permit struct {
	ceiling *Ceiling
	client  netip.Addr
	group   string
	evict   func()
	idle    bool
	since   uint64        // when it was taken, or became idle
	listed  *list.Element // in one of its holder's lists
	gone    bool
}

// holder is one client's permits. They are sorted by age, so that a flood of new clients needs no searches: the cost of
// a decision depends on the number of clients, not of permits.
type holder struct {
	idle, busy list.List // of *Permit, the oldest first
	groups     map[string]int
}

func (h *holder) permits() int {
	if h == nil {
		return 0
	}
	return h.idle.Len() + h.busy.Len()
}

// add lists a permit as the newest of its kind.
func (h *holder) add(p *Permit) {
	if p.idle {
		p.listed = h.idle.PushBack(p)
	} else {
		p.listed = h.busy.PushBack(p)
	}
}

func (h *holder) drop(p *Permit) {
	if p.idle {
		h.idle.Remove(p.listed)
	} else {
		h.busy.Remove(p.listed)
	}
}

// first is the oldest permit of a list; nil for none.
func first(l *list.List) *Permit {
	if l.Len() == 0 {
		return nil
	}
	return l.Front().Value.(*Permit)
}

// oldest is the permit that has been idle for longest, or, if none is idle, was taken first.
func (h *holder) oldest() *Permit {
	if p := first(&h.idle); p != nil {
		return p
	}
	return first(&h.busy)
}

// Take takes a permit for a client; group divides a client's own permits, such as by source. If the ceiling is reached,
// another client loses a permit: its evict is called once, and must not block or call back. False means that no client
// holds more than this one would.
func (c *Ceiling) Take(client netip.Addr, group string, evict func()) (*Permit, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.take(client, group, evict, true)
}

func (c *Ceiling) take(client netip.Addr, group string, evict func(), count bool) (*Permit, bool) {
	if c.inUse >= c.most {
		victim := c.victim(client, group)
		if victim == nil {
			if count {
				c.refused++
			}
			return nil, false
		}
		c.evicted++
		c.remove(victim)
		victim.evict()
	}
	c.turn++
	p := &Permit{ceiling: c, client: client, group: group, evict: evict, since: c.turn}
	h := c.clients[client]
	if h == nil {
		h = &holder{groups: map[string]int{}}
		c.clients[client] = h
	}
	h.add(p)
	h.groups[group]++
	c.inUse++
	return p, true
}

// Wait is like Take, and waits for a permit until ctx ends.
func (c *Ceiling) Wait(ctx context.Context, client netip.Addr, group string, evict func()) (*Permit, bool) {
	for first := true; ; first = false {
		c.mu.Lock()
		p, ok := c.take(client, group, evict, first)
		freed := c.freed
		c.mu.Unlock()
		if ok {
			return p, true
		}
		select {
		case <-ctx.Done():
			return nil, false
		case <-freed:
		}
	}
}

// victim is the permit that a newcomer gets; nil for none.
func (c *Ceiling) victim(client netip.Addr, group string) *Permit {
	mine := c.clients[client].permits()
	var heaviest *holder
	for other, h := range c.clients {
		if h.permits() > heaviest.permits() && other != client && !c.trusted(other) {
			heaviest = h
		}
	}
	if heaviest.permits() > mine+1 {
		return heaviest.oldest()
	}
	// No client has more than its fair share. Idle connections can be closed all the same: a client that needs one
	// opens another.
	if idle := c.oldestIdle(client, heaviest.permits() > 0); idle != nil {
		return idle
	}
	return c.clients[client].ownVictim(group)
}

// oldestIdle is the idle permit that was taken first, among those of the client and of clients with more permits; nil
// for none. spareTrusted leaves out those of trusted clients.
func (c *Ceiling) oldestIdle(client netip.Addr, spareTrusted bool) (idle *Permit) {
	mine := c.clients[client].permits()
	for other, h := range c.clients {
		p := first(&h.idle)
		if p == nil || (idle != nil && p.since > idle.since) {
			continue
		}
		if other != client && (h.permits() <= mine || (spareTrusted && c.trusted(other))) {
			continue
		}
		idle = p
	}
	return idle
}

// ownVictim is the oldest permit of the heaviest group, if the given group has less than that; nil for none.
func (h *holder) ownVictim(group string) (victim *Permit) {
	if h == nil {
		return nil
	}
	var heaviest string
	for name, n := range h.groups {
		if n > h.groups[heaviest] {
			heaviest = name
		}
	}
	if h.groups[heaviest] <= h.groups[group]+1 {
		return nil
	}
	for _, permits := range []*list.List{&h.idle, &h.busy} {
		for e := permits.Front(); e != nil; e = e.Next() {
			if p := e.Value.(*Permit); p.group == heaviest {
				return p
			}
		}
	}
	return nil
}

func (c *Ceiling) remove(p *Permit) {
	p.gone = true
	c.inUse--
	h := c.clients[p.client]
	h.drop(p)
	if h.groups[p.group]--; h.groups[p.group] == 0 {
		delete(h.groups, p.group)
	}
	if h.permits() == 0 {
		delete(c.clients, p.client)
	}
	close(c.freed)
	c.freed = make(chan struct{})
}

// SetIdle marks the permit as idle or in use.
func (p *Permit) SetIdle(idle bool) {
	c := p.ceiling
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.idle == idle {
		return
	}
	c.turn++
	if p.gone {
		p.idle, p.since = idle, c.turn
		return
	}
	h := c.clients[p.client]
	h.drop(p)
	p.idle, p.since = idle, c.turn
	h.add(p)
}

// Release gives the permit back. It may be called repeatedly, and for a lost permit. After it has returned, evict is
// not called.
func (p *Permit) Release() {
	c := p.ceiling
	c.mu.Lock()
	defer c.mu.Unlock()
	if !p.gone {
		c.remove(p)
	}
}

// Lost reports whether the permit was given to another client.
func (p *Permit) Lost() bool {
	p.ceiling.mu.Lock()
	defer p.ceiling.mu.Unlock()
	return p.gone
}

// Full reports whether a client that holds nothing would be refused.
func (c *Ceiling) Full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inUse >= c.most && c.victim(netip.Addr{}, "") == nil
}

// State is how a ceiling is used.
type State struct {
	InUse, Most      int
	Evicted, Refused int // since the start
}

// State returns how the ceiling is used now.
func (c *Ceiling) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return State{InUse: c.inUse, Most: c.most, Evicted: c.evicted, Refused: c.refused}
}
