package logs_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staykey/staykey/internal/logs"
)

// kept is what a log has written.
type kept struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (k *kept) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.b.Write(p)
}

func (k *kept) records(t *testing.T) []map[string]any {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	var list []map[string]any
	for line := range strings.Lines(k.b.String()) {
		var r map[string]any
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		list = append(list, r)
	}
	k.b.Reset()
	return list
}

// counted adds up how often something happened: what was written, and what the records say was not.
func counted(records []map[string]any) (n int) {
	for _, r := range records {
		if more, ok := r[logs.NotLogged].(float64); ok {
			n += int(more) - 1 // the newest of them is shown
		}
		n++
	}
	return n
}

// TestAnOutageIsBounded has one thing fail ten times a second for ten minutes: the log says when it begins, counts each
// minute, and says when it ends.
func TestAnOutageIsBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		log  func(*slog.Logger, int)
		most int // records in ten minutes
	}{
		"an error": {func(l *slog.Logger, i int) {
			l.Error("applying failed", "error", errors.New("gone"),
				"try", i)
		}, 5 + 11},
		"a refused request": {
			func(l *slog.Logger, _ int) { l.Info("request", "method", "POST", "status", 503) },
			5 + 11,
		},
		"a client that hangs up": {
			func(l *slog.Logger, _ int) { l.Info("request", "status", logs.StatusClientGone) },
			5 + 11,
		},
		"numbers in it": {func(l *slog.Logger, i int) {
			l.Warn(fmt.Sprintf("http: TLS handshake error from 192.0.2.%d:%d: EOF", i%200, i))
		}, 5 + 11},
		"about reservations": {func(l *slog.Logger, i int) {
			l.With("reservation_id",
				fmt.Sprint(i)).Warn("reconcile failed")
		}, 300 + 11},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var out kept
				log := slog.New(logs.Bound(slog.NewJSONHandler(&out, nil)))
				const times = 6000
				for i := range times {
					c.log(log, i)
					time.Sleep(100 * time.Millisecond)
				}
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				records := out.records(t)
				if len(records) > c.most || len(records) < 10 {
					t.Errorf("%d records, want at most %d and one a minute", len(records), c.most)
				}
				if n := counted(records); n != times {
					t.Errorf("they account for %d of %d", n, times)
				}
				c.log(log, 0) // over: the next one is the beginning of another
				if records := out.records(t); len(records) != 1 || records[0][logs.NotLogged] != nil {
					t.Errorf("after the end: %v", records)
				}
			})
		})
	}
}

// TestWhatIsNotBounded logs much that is no trouble, or little of what is.
func TestWhatIsNotBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out kept
		log := slog.New(logs.Bound(slog.NewJSONHandler(&out, nil)))
		for i := range 600 {
			log.Info("reconciled", "reservation_id", i)
			log.Info("request", "status", 200)
			log.Info("request", "status", 404)
			if i%15 == 0 {
				log.WithGroup("g").With("a", 1).Error("now and then", "b", 2) // four a minute
			}
			time.Sleep(1200 * time.Millisecond)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		records := out.records(t)
		if len(records) != 3*600+40 {
			t.Errorf("%d records of %d", len(records), 3*600+40)
		}
		for _, r := range records {
			if r[logs.NotLogged] != nil {
				t.Fatalf("not all are written: %v", r)
			}
		}
	})
}

// TestFlush ends a process in the middle of an outage: nothing is unaccounted for.
func TestFlush(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out kept
		handler := logs.Bound(slog.NewJSONHandler(&out, nil))
		log := slog.New(handler)
		for i := range 2000 {
			log.Error(strings.Repeat("x", 1+i%1500)) // more kinds than are counted separately
		}
		handler.Flush()
		if n := counted(out.records(t)); n != 2000 {
			t.Errorf("%d of 2000 are accounted for", n)
		}
		handler.Flush()
		if n := len(out.records(t)); n != 0 {
			t.Errorf("%d records of nothing", n)
		}
	})
}
