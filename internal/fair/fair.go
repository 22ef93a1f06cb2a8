// Package fair shares a ceiling among clients, so that none of them can take what the others need. There is no
// limit for a client on its own: who is alone may take everything, such as a proxy in front. But once the ceiling
// is reached, a newcomer takes a permit of the client that holds the most. With n clients, each can always have
// about an nth of the permits, whatever the others do.
package fair

import (
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
	trusted func(netip.Addr) bool // such a client's permits are only taken where there is nobody else's

	mu      sync.Mutex
	turn    uint64 // rises with each change, to tell what is older
	held    int
	clients map[netip.Addr]map[*Permit]struct{}
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
		most: most, trusted: trusted, clients: map[netip.Addr]map[*Permit]struct{}{},
		freed: make(chan struct{}),
	}
}

// Permit lets one client hold one of the things that the ceiling limits, until it is released or lost.
type Permit struct {
	ceiling *Ceiling
	client  netip.Addr
	group   string
	evict   func()
	idle    bool
	since   uint64 // when it was taken, or became idle
	gone    bool
}

// Take takes a permit for a client; group divides a client's own permits, such as by source. If the ceiling is
// reached, somebody else loses a permit: evict is called for it once, must not block, and must not call back. false:
// nobody holds more than this client would.
func (c *Ceiling) Take(client netip.Addr, group string, evict func()) (*Permit, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.take(client, group, evict, true)
}

func (c *Ceiling) take(client netip.Addr, group string, evict func(), count bool) (*Permit, bool) {
	if c.held >= c.most {
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
	if c.clients[client] == nil {
		c.clients[client] = map[*Permit]struct{}{}
	}
	c.clients[client][p] = struct{}{}
	c.held++
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
	mine := len(c.clients[client])
	var heaviest map[*Permit]struct{}
	for other, permits := range c.clients {
		if other != client && !c.trusted(other) && len(permits) > len(heaviest) {
			heaviest = permits
		}
	}
	if len(heaviest) > mine+1 {
		return oldest(heaviest)
	}
	// Nobody has more than a fair share. Idle connections can be closed anyway: a client that needs one opens another.
	if idle := c.oldestIdle(client, len(heaviest) > 0); idle != nil {
		return idle
	}
	return ownVictim(c.clients[client], group)
}

// oldestIdle is the idle permit that was taken first, of the client and of those with more permits; nil for none.
// spareTrusted leaves out those of trusted clients.
func (c *Ceiling) oldestIdle(client netip.Addr, spareTrusted bool) (idle *Permit) {
	mine := len(c.clients[client])
	for other, permits := range c.clients {
		if other != client && (len(permits) <= mine || (spareTrusted && c.trusted(other))) {
			continue
		}
		for p := range permits {
			if p.idle && (idle == nil || p.since < idle.since) {
				idle = p
			}
		}
	}
	return idle
}

// ownVictim is the permit of the client's heaviest group, if this group has less than that.
func ownVictim(permits map[*Permit]struct{}, group string) *Permit {
	groups := map[string]map[*Permit]struct{}{}
	var heaviest string
	for p := range permits {
		if groups[p.group] == nil {
			groups[p.group] = map[*Permit]struct{}{}
		}
		groups[p.group][p] = struct{}{}
		if len(groups[p.group]) > len(groups[heaviest]) {
			heaviest = p.group
		}
	}
	if len(groups[heaviest]) > len(groups[group])+1 {
		return oldest(groups[heaviest])
	}
	return nil
}

// oldest is the permit that has been idle for longest, or, where none is idle, was taken first.
func oldest(permits map[*Permit]struct{}) *Permit {
	var found *Permit
	for p := range permits {
		switch {
		case found == nil, p.idle && !found.idle, p.idle == found.idle && p.since < found.since:
			found = p
		}
	}
	return found
}

func (c *Ceiling) remove(p *Permit) {
	p.gone = true
	c.held--
	delete(c.clients[p.client], p)
	if len(c.clients[p.client]) == 0 {
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
	if p.idle != idle {
		c.turn++
		p.idle, p.since = idle, c.turn
	}
}

// Release gives the permit back. It may be called again, and of a permit that was lost. Once it returns, evict is not
// called any more.
func (p *Permit) Release() {
	c := p.ceiling
	c.mu.Lock()
	defer c.mu.Unlock()
	if !p.gone {
		c.remove(p)
	}
}

// Lost reports whether somebody else has got the permit.
func (p *Permit) Lost() bool {
	p.ceiling.mu.Lock()
	defer p.ceiling.mu.Unlock()
	return p.gone
}

// Full reports whether a client that holds nothing would be refused.
func (c *Ceiling) Full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held >= c.most && c.victim(netip.Addr{}, "") == nil
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
	return State{InUse: c.held, Most: c.most, Evicted: c.evicted, Refused: c.refused}
}
