package handlers

import (
	"crypto/sha256"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How many wrong tokens an address may send at once, and how often after that.
const (
	guessBurst = 30
	guessEvery = time.Second
)

// rightMost limits how many right tokens are remembered with their address.
const rightMost = 4096

// guesses limits wrong tokens per client, in a fixed amount of memory: clients in the same bucket share a limit. It
// holds hashes only.
type guesses struct {
	seed    maphash.Seed
	buckets [1024]*rate.Limiter

	mu     sync.Mutex
	rights map[rightToken]bool
}

// rightToken is a token that was right, and the client that sent it.
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

// wait is how long a client must wait until another of its tokens is checked. If it is 0, the current token counts.
func (g *guesses) wait(client netip.Addr, now time.Time) time.Duration {
	if g.of(client).AllowN(now, 1) {
		return 0
	}
	return guessEvery
}

// forget removes a client's token from the right ones.
func (g *guesses) forget(client netip.Addr, hash [sha256.Size]byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.rights, rightToken{client, hash})
}

// right remembers that a client sent a right token.
func (g *guesses) right(client netip.Addr, hash [sha256.Size]byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.rights) >= rightMost {
		clear(g.rights) // each is added again by its next request
	}
	g.rights[rightToken{client, hash}] = true
}

// knows reports whether a client sent this token before and it was right.
func (g *guesses) knows(client netip.Addr, hash [sha256.Size]byte) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.rights[rightToken{client, hash}]
}
