package provisioner

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/staykey/staykey/internal/seam"
)

// Seam is out if it has given no usable answer for outageAfter, to at least outageCalls calls of this process.
const (
	outageAfter = time.Minute
	outageCalls = 3
)

// While calls fail, Seam is asked for the workspace, from doubtAfter on and every doubtEvery: the answer doesn't depend
// on a stay. Without that, a single stay that Seam can't answer for would look like an outage while nothing else is
// due, and one that is over would last until the next stay is due.
const (
	doubtAfter = 30 * time.Second
	doubtEvery = 30 * time.Second
)

// noUsableAnswer is followed by the error: 5xx, 429, a page of a proxy, an unreadable answer, or none.
const noUsableAnswer = "Seam gives no usable answer: "

// outage knows whether Seam has become unusable for all stays. It pauses nothing: attempts continue, because each may
// be the first that is answered. It is safe for concurrent use.
type outage struct {
	seam      *seam.Client
	log       *slog.Logger
	now       func() time.Time
	after     func(time.Duration) <-chan time.Time
	pollEvery time.Duration
	admission *admission

	mu    sync.Mutex
	asked time.Time // when Seam was last asked for the workspace without a usable answer

	askNext time.Time // used by run alone, as are those below
	out     bool      // as logged last
	since   time.Time // the outage that was logged last began
}

// run watches until ctx ends.
func (o *outage) run(ctx context.Context) {
	tick := o.after(o.pollEvery)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
			tick = o.after(o.pollEvery)
		}
		o.report() // before the call, which may take as long as the outage
		o.ask(ctx)
		o.report()
	}
}

// ask asks Seam for the workspace if it has left calls unanswered for a while. During a pause of provisioning, the
// admission does.
func (o *outage) ask(ctx context.Context) {
	now, u := o.now(), o.seam.Unanswered()
	if u.Calls == 0 || now.Sub(u.Since) < doubtAfter || now.Before(o.askNext) || o.admission.trouble() != "" {
		return
	}
	o.askNext = now.Add(doubtEvery)
	_, err := o.seam.WorkspaceID(seam.Probe(ctx))
	o.admission.heed(err)
	if o.seam.Unanswered().Calls == 0 || ctx.Err() != nil || seam.IsHeldBack(err) {
		return
	}
	o.mu.Lock()
	o.asked = now
	o.mu.Unlock()
}

// report logs and measures when an outage begins and ends.
func (o *outage) report() {
	u := o.seam.Unanswered()
	text := o.text()
	o.admission.setOutage(text != "")
	if out := text != ""; out != o.out {
		o.out = out
		if out {
			o.since = u.Since
			o.log.Error("Seam gives no usable answer; retrying", "since", u.Since, "calls", u.Calls, "error", u.Last)
			return
		}
		o.log.Info("Seam answers again", "after", o.now().Sub(o.since).Round(time.Second).String())
	}
}

// text describes the outage, "" if there is none. The first usable answer to any call ends it.
func (o *outage) text() string {
	o.mu.Lock()
	asked := o.asked
	o.mu.Unlock()
	u := o.seam.Unanswered()
	if !isOut(u, asked, o.now()) {
		return ""
	}
	return noUsableAnswer + u.Last.Error()
}

// isOut reports whether Seam is out, by the calls without a usable answer and by when Seam was last asked for the
// workspace without one.
func isOut(u seam.Unanswered, asked, now time.Time) bool {
	return u.Calls >= outageCalls && now.Sub(u.Since) >= outageAfter && !asked.Before(u.Since)
}

// Outage describes an outage of Seam, "" if there is none: Seam has given no usable answer to any call of this process
// for a minute. Nothing pauses because of it.
func (p *Provisioner) Outage() string { return p.outage.text() }
