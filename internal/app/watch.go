package app

import (
	"context"
	"crypto/sha256"
	"os"
)

// watchFiles reloads the configuration when one of its files has changed, until ctx ends.
func (r *reloader) watchFiles(ctx context.Context) {
	if r.config.Watch == 0 || !r.config.CanReload() {
		return
	}
	files := watch(r.config.Files())
	every(ctx, r.config.Watch, func() {
		if changed := files.changed(); len(changed) > 0 {
			r.log.Info("reloading the configuration: files have changed", "files", changed)
			_, _ = r.reload(ctx) // logged there
		}
	})
}

// watched are files and what they contained. Their contents are compared, because a file may be replaced in many ways:
// Kubernetes exchanges the directory that holds it.
type watched struct {
	names    []string
	known    map[string][sha256.Size]byte // what was read last, or at the start
	changing map[string][sha256.Size]byte // what differed from that at the last look
}

func watch(names []string) *watched {
	w := &watched{
		names: names, known: map[string][sha256.Size]byte{}, changing: map[string][sha256.Size]byte{},
	}
	for _, name := range names {
		content, err := os.ReadFile(name) // #nosec G304 -- the operator names it
		if err == nil {
			w.known[name] = sha256.Sum256(content)
		}
	}
	return w
}

// changed returns the files that differ from what was read last, and now counts as read. A difference counts once two
// looks in a row have seen it: a file may be only half written. A file that can't be read hasn't changed: it may be
// about to be replaced.
func (w *watched) changed() []string {
	var names []string
	for _, name := range w.names {
		content, err := os.ReadFile(name) // #nosec G304 -- the operator names it
		if err != nil {
			continue
		}
		now := sha256.Sum256(content)
		before, differed := w.changing[name]
		delete(w.changing, name)
		switch {
		case now == w.known[name]:
		case differed && now == before:
			w.known[name] = now
			names = append(names, name)
		default:
			w.changing[name] = now
		}
	}
	return names
}
