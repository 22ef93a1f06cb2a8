package handlers

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/staykey/staykey/internal/fair"
	"github.com/staykey/staykey/internal/pms"
)

const (
	// MaxBody is the largest webhook, chunked or not.
	MaxBody = 1 << 20
	// SmallBody is how much of a webhook is read whatever else is going on. Webhooks of PMSs are smaller.
	SmallBody = 32 << 10
	// largeBodies is how many larger ones are held in memory at a time, and largeWait how long another one waits.
	// Nothing is proved of a body before it is read, so that at the ceiling the address that reads the most loses
	// the one it has read for longest.
	largeBodies = 24
	largeWait   = 5 * time.Second
	// maxREST is how many REST requests are answered at a time, restOfOne how many of one address, and restWait how
	// long another one waits: they share the database with the intake.
	maxREST   = 32
	restOfOne = 24
	restWait  = 2 * time.Second
)

var largeEvicted = prometheus.NewCounter(prometheus.CounterOpts{
	Name: "staykey_large_bodies_cut_off_total",
	Help: "Large webhooks cut off while being read, because the limit was reached and their address used the most.",
})

// Limits are what keeps a flood from taking memory, connections to Postgres, or the turn of others.
type Limits struct {
	large *fair.Ceiling
	rest  *semaphore.Weighted
	from  func(*http.Request) netip.Addr // whom a request comes from, seen through trusted proxies

	mu      sync.Mutex
	sources map[string]sourceLimit
	turns   map[netip.Addr]*clientTurns // of clients with REST requests
}

type sourceLimit struct {
	of      pms.RateLimit
	limiter *rate.Limiter
}

// NewLimits returns limits by the client that a request comes from.
func NewLimits(from func(*http.Request) netip.Addr) *Limits {
	return &Limits{
		large: fair.New(largeBodies, nil), rest: semaphore.NewWeighted(maxREST), from: from,
		sources: map[string]sourceLimit{}, turns: map[netip.Addr]*clientTurns{},
	}
}

// Exceeded returns how long a source must wait before its next authentic webhook; 0 for no wait.
func (l *Limits) Exceeded(source pms.Source, now time.Time) time.Duration {
	if source.Limit.PerSecond <= 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.sources[source.Name]
	if known.limiter == nil || known.of != source.Limit {
		known = sourceLimit{source.Limit, rate.NewLimiter(rate.Limit(source.Limit.PerSecond), source.Limit.Burst)}
		l.sources[source.Name] = known
	}
	if known.limiter.AllowN(now, 1) {
		return 0
	}
	missing := 1 - known.limiter.TokensAt(now)
	return time.Duration(math.Ceil(missing / source.Limit.PerSecond * float64(time.Second)))
}

// slowBodyRetry is when a sender whose body did not arrive in time should try again.
const slowBodyRetry = 5 * time.Second

// ReadBody reads the body of a webhook to a source. release gives back the memory that a large one was granted.
func (l *Limits) ReadBody(w http.ResponseWriter, r *http.Request, source string) (body []byte,
	release func(), p *Problem,
) {
	release = func() {}
	tooLarge := NewProblem(http.StatusRequestEntityTooLarge, "the body is over 1 MiB")
	if r.ContentLength > MaxBody {
		return nil, release, tooLarge
	}

	var b bytes.Buffer // it grows with what has come, whatever length was announced
	limited := http.MaxBytesReader(w, r.Body, MaxBody)
	n, err := io.Copy(&b, io.LimitReader(limited, SmallBody))
	if err == nil && n == SmallBody {
		turn, ok := l.takeLarge(w, r, source)
		if !ok {
			return nil, release, tooManyLarge()
		}
		release = turn.permit.Release
		_, err = io.Copy(&b, limited)
		if turn.finish() {
			return nil, release, tooManyLarge()
		}
	}

	if limit := new(http.MaxBytesError); errors.As(err, &limit) {
		return nil, release, tooLarge
	}
	if errors.Is(err, os.ErrDeadlineExceeded) { // ours: senders repeat a 503, and not a 400
		return nil, release, NewProblem(http.StatusServiceUnavailable,
			"the body did not arrive in time: send it again").After(slowBodyRetry)
	}
	if err != nil {
		return nil, release, NewProblem(http.StatusBadRequest, "the body broke off: send it again")
	}
	return b.Bytes(), release, nil
}

func tooManyLarge() *Problem {
	return NewProblem(http.StatusServiceUnavailable,
		"too many large webhooks are being read: nothing was stored, send it again").After(largeWait)
}

// largeTurn is a turn to read a large body.
type largeTurn struct {
	permit *fair.Permit

	mu   sync.Mutex
	read bool // the body is complete: breaking off would be useless
	lost bool
}

// takeLarge waits for a turn to read a large body.
func (l *Limits) takeLarge(w http.ResponseWriter, r *http.Request, source string) (turn *largeTurn, ok bool) {
	ctx, cancel := context.WithTimeout(r.Context(), largeWait)
	defer cancel()
	control := http.NewResponseController(w)
	turn = &largeTurn{}
	turn.permit, ok = l.large.Wait(ctx, fair.Client(l.from(r)), source, func() {
		turn.mu.Lock()
		defer turn.mu.Unlock()
		if !turn.read {
			turn.lost = true
			_ = control.SetReadDeadline(time.Unix(1, 0)) // a test's recorder has none
			largeEvicted.Inc()
		}
	})
	return turn, ok
}

// finish ends the reading, and reports whether the turn was lost before.
func (t *largeTurn) finish() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.read = true
	return t.lost
}

// clientTurns limits the REST requests of one client that are running or waiting.
type clientTurns struct {
	*semaphore.Weighted
	users int
}

// OneOfFew limits how many requests run at once. Others wait for a turn, for at most restWait.
func (l *Limits) OneOfFew(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), restWait)
		defer cancel()
		own, leave := l.turnsOf(fair.Client(l.from(r)))
		defer leave()
		for _, turns := range []*semaphore.Weighted{own, l.rest} {
			if turns.Acquire(ctx, 1) != nil {
				NewProblem(http.StatusServiceUnavailable,
					"too many concurrent requests: try again in a moment").After(restWait).Write(w)
				return
			}
			defer turns.Release(1)
		}
		next.ServeHTTP(w, r)
	})
}

// turnsOf returns the turns of one client. The last request to call leave removes them.
func (l *Limits) turnsOf(client netip.Addr) (turns *semaphore.Weighted, leave func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	of := l.turns[client]
	if of == nil {
		of = &clientTurns{Weighted: semaphore.NewWeighted(restOfOne)}
		l.turns[client] = of
	}
	of.users++
	return of.Weighted, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if of.users--; of.users == 0 {
			delete(l.turns, client)
		}
	}
}
