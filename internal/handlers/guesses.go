package handlers

import (
	"crypto/sha256"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How many wrong tokens an address may show at once, and how often after that.
const (
	guessBurst = 30
	guessEvery = time.Second
)

// rightMost bounds how many right tokens are remembered with the address that showed them.
const rightMost = 4096

// guesses limits wrong tokens by the client that they come from, in a fixed amount of memory: clients that share a
// bucket share a limit. It holds hashes only.
type guesses struct {
	seed    maphash.Seed
	buckets [1024]*rate.Limiter

	mu     sync.Mutex
	rights map[rightToken]bool
}

// rightToken is a token that was right, and the client that showed it.
type rightToken struct {
	client netip.Addr
	hash   [sha256.Size]byte
}

func newGuesses() *guesses {
	g := &guesses{seed: maphash.MakeSeed(), rights: map[rightToken]bool{}}
	for i := range g.buckets {
		g.buckets[i] = rate.NewLimiter(rate.Every(guessEvery), guessBurst)
	}
	return g
}

func (g *guesses) of(client netip.Addr) *rate.Limiter {
	return g.buckets[maphash.Comparable(g.seed, client)%uint64(len(g.buckets))]
}

// wait is how long a client must wait before another of its tokens is looked at; 0 if it need not: then this one
// counts.
func (g *guesses) wait(client netip.Addr, now time.Time) time.Duration {
	if g.of(client).AllowN(now, 1) {
		return 0
	}
	return guessEvery
}

// forget takes back that a client's token was right.
func (g *guesses) forget(client netip.Addr, hash [sha256.Size]byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.rights, rightToken{client, hash})
}

// right remembers that a client has shown a right token.
func (g *guesses) right(client netip.Addr, hash [sha256.Size]byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.rights) >= rightMost {
		clear(g.rights) // all are shown again soon
	}
	g.rights[rightToken{client, hash}] = true
}

// knows reports whether a client has shown this token before, and it was right.
func (g *guesses) knows(client netip.Addr, hash [sha256.Size]byte) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.rights[rightToken{client, hash}]
}
