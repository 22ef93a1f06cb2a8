package handlers

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/staykey/staykey/internal/pms"
)

const (
	// maxBody is the largest webhook, chunked or not.
	maxBody = 1 << 20
	// smallBody is how much of a webhook is read whatever else is going on. Webhooks of PMSs are smaller.
	smallBody = 32 << 10
	// largeBodies is how many larger ones are held in memory at a time, and largeWait how long another one waits.
	largeBodies = 24
	largeWait   = 5 * time.Second
	// maxREST is how many REST requests are answered at a time, and restWait how long another one waits: they share
	// the database with the intake.
	maxREST  = 32
	restWait = 2 * time.Second
)

// limits are what keeps a flood from taking memory, connections to Postgres, or the turn of others.
type limits struct {
	large *semaphore.Weighted
	rest  *semaphore.Weighted

	mu      sync.Mutex
	sources map[string]sourceLimit
}

type sourceLimit struct {
	of      pms.RateLimit
	limiter *rate.Limiter
}

func newLimits() *limits {
	return &limits{large: semaphore.NewWeighted(largeBodies), rest: semaphore.NewWeighted(maxREST), sources: map[string]sourceLimit{}}
}

// exceeded tells how long a source must wait with an authentic webhook; 0 if it need not.
func (l *limits) exceeded(source pms.Source, now time.Time) time.Duration {
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

// readBody reads a webhook. release gives back what a large one holds.
func (l *limits) readBody(w http.ResponseWriter, r *http.Request) (body []byte, release func(), p *Problem) {
	release = func() {}
	tooLarge := problem(http.StatusRequestEntityTooLarge, "a webhook may be at most 1 MiB large")
	if r.ContentLength > maxBody {
		return nil, release, tooLarge
	}
	var b bytes.Buffer
	if r.ContentLength > 0 {
		b.Grow(int(min(r.ContentLength, smallBody)) + bytes.MinRead)
	}
	limited := http.MaxBytesReader(w, r.Body, maxBody)
	n, err := io.Copy(&b, io.LimitReader(limited, smallBody))
	if err == nil && n == smallBody {
		ctx, cancel := context.WithTimeout(r.Context(), largeWait)
		defer cancel()
		if l.large.Acquire(ctx, 1) != nil {
			return nil, release, problem(http.StatusServiceUnavailable, "too many large webhooks are being read, and nothing of this one is kept: send it again").after(largeWait)
		}
		release = func() { l.large.Release(1) }
		_, err = io.Copy(&b, limited)
	}
	if limit := new(http.MaxBytesError); errors.As(err, &limit) {
		return nil, release, tooLarge
	}
	if err != nil {
		return nil, release, problem(http.StatusBadRequest, "the body broke off: send it again")
	}
	return b.Bytes(), release, nil
}

// oneOfFew has REST requests wait for their turn, and not for long.
func (l *limits) oneOfFew(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), restWait)
		defer cancel()
		if l.rest.Acquire(ctx, 1) != nil {
			problem(http.StatusServiceUnavailable, "too many requests are being answered: try again in a moment").after(restWait).write(w)
			return
		}
		defer l.rest.Release(1)
		next.ServeHTTP(w, r)
	})
}
