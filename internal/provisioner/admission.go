package provisioner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
)

// settingWorkspace pins the workspace whose objects the database records.
const settingWorkspace = "seam_workspace_id"

// admission knows whether Seam accepts the API key and whose workspace it belongs to, and pauses provisioning while it
// must not continue. It is safe for concurrent use.
type admission struct {
	store     *store.Store
	seam      *seam.Client
	log       *slog.Logger
	now       func() time.Time
	directory *directory
	pollEvery time.Duration // the least time between two questions to Seam

	mu        sync.Mutex
	why       string    // nothing is provisioned; "" while it is
	out       bool      // nothing succeeds, because Seam gives no usable answer; see [outage]
	ready     bool      // the workspace is known to be ours
	doubted   bool      // a call was answered with 401 since the key was last accepted
	confirmed time.Time // when Seam last accepted the key after such an answer
	askNext   time.Time // when Seam may be asked for the workspace again; used by [Provisioner.Run] alone
}

// admitted reports whether provisioning may continue: the key is accepted, and it belongs to the workspace that this
// database has been used with. unreachable is the error if Seam could not be asked, in which case no attempt can
// succeed.
func (d *admission) admitted(ctx context.Context) (ok bool, unreachable error) {
	d.mu.Lock()
	ready := d.ready
	d.mu.Unlock()
	if ready {
		return true, nil
	}
	if d.now().Before(d.askNext) {
		return false, nil
	}
	d.askNext = d.now().Add(d.pollEvery)
	workspace, err := d.seam.WorkspaceID(seam.Urgent(ctx)) // every guest waits for the answer
	if ctx.Err() != nil {
		return false, nil
	}
	pinned, serr := d.store.Setting(ctx, settingWorkspace, func() string { return workspace })
	if serr != nil {
		d.log.Error("pinned workspace not read; retrying", "error", serr)
		return false, nil
	}
	e := new(seam.Error)
	switch errors.As(err, &e); {
	case e.Kind == seam.Unauthorized:
		d.setTrouble(troubleKey)
		return false, nil
	case e.Kind == seam.NotSent, e.Kind == seam.RateLimited, e.Kind == seam.Lost && (e.Status == 0 || pinned != ""):
		d.setTrouble(noUsableAnswer + err.Error())
		return false, err
	case err != nil && pinned != "":
		d.setTrouble("Seam does not report the workspace of SEAM_API_KEY, and this database belongs to workspace " +
			pinned + ": give the key the right to read its workspace")
		return false, nil
	case err != nil:
		d.log.Warn("Seam workspace not read; not pinning it", "error", err)
	case pinned != workspace:
		d.setTrouble(fmt.Sprintf(
			"SEAM_API_KEY belongs to workspace %s, and this database belongs to workspace %s: use its key, or another database", workspace, pinned))
		return false, nil
	}
	if err := d.directory.learnAll(ctx); err != nil {
		d.log.Warn("access groups not listed; looking them up one by one", "error", err)
	}
	d.mu.Lock()
	d.ready = true
	if d.doubted {
		d.doubted, d.confirmed = false, d.now()
	}
	d.mu.Unlock()
	d.setTrouble("")
	return true, nil
}

// heed pauses the provisioner if a call failed because the key is not accepted; it resumes when the key is accepted
// again. If the key was found to be accepted just now, the 401 concerns only that call.
func (d *admission) heed(err error) {
	if seam.KindOf(err) != seam.Unauthorized || d.keyConfirmed() {
		return
	}
	d.mu.Lock()
	d.ready, d.doubted = false, true
	d.mu.Unlock()
	d.setTrouble(troubleKey)
}

// keyConfirmed reports whether Seam has recently accepted the key, when it was asked because of a 401.
func (d *admission) keyConfirmed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.confirmed.IsZero() && d.now().Sub(d.confirmed) < confirmedFor
}

const (
	troubleKey   = "Seam does not accept SEAM_API_KEY: set a valid one"
	confirmedFor = time.Minute
)

// trouble returns why nothing is being provisioned, "" while it is. Webhooks are accepted in any case.
func (d *admission) trouble() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.why
}

// setTrouble records why nothing is provisioned, and logs it once.
func (d *admission) setTrouble(trouble string) {
	d.mu.Lock()
	changed := d.why != trouble
	d.why = trouble
	d.measure()
	d.mu.Unlock()
	if !changed {
		return
	}
	if trouble == "" {
		d.log.Info("provisioning resumed")
	} else {
		d.log.Error("provisioning paused", "reason", trouble)
	}
}

// setOutage records whether Seam gives no usable answer. That is shown, and pauses nothing.
func (d *admission) setOutage(out bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.out = out
	d.measure()
}

// measure shows whether anything is provisioned. The caller holds the lock.
func (d *admission) measure() {
	if d.why != "" || d.out {
		paused.Set(1)
	} else {
		paused.Set(0)
	}
}
