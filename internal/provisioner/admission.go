package provisioner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/staykey/staykey/internal/seam"
)

// settingWorkspace pins the workspace whose objects the database records.
const settingWorkspace = "seam_workspace_id"

// admitted reports whether provisioning may continue: the key is accepted, and it belongs to the workspace that this
// database has been used with. unreachable is the error if Seam could not be asked, in which case no attempt can
// succeed.
func (p *Provisioner) admitted(ctx context.Context) (ok bool, unreachable error) {
	p.mu.Lock()
	ready := p.ready
	p.mu.Unlock()
	if ready {
		return true, nil
	}
	if p.now().Before(p.askNext) {
		return false, nil
	}
	p.askNext = p.now().Add(p.options.PollEvery)
	workspace, err := p.seam.WorkspaceID(seam.Urgent(ctx)) // every guest waits for the answer
	if ctx.Err() != nil {
		return false, nil
	}
	pinned, serr := p.store.Setting(ctx, settingWorkspace, func() string { return workspace })
	if serr != nil {
		p.log.Error("pinned workspace not read; retrying", "error", serr)
		return false, nil
	}
	e := new(seam.Error)
	switch errors.As(err, &e); {
	case e.Kind == seam.Unauthorized:
		p.setTrouble(troubleKey)
		return false, nil
	case e.Kind == seam.NotSent, e.Kind == seam.RateLimited, e.Kind == seam.Lost && (e.Status == 0 || pinned != ""):
		p.setTrouble("Seam can't be reached: " + err.Error())
		return false, err
	case err != nil && pinned != "":
		p.setTrouble("Seam does not report the workspace of SEAM_API_KEY, and this database belongs to workspace " +
			pinned + ": give the key the right to read its workspace")
		return false, nil
	case err != nil:
		p.log.Warn("Seam workspace not read; not pinning it", "error", err)
	case pinned != workspace:
		p.setTrouble(fmt.Sprintf(
			"SEAM_API_KEY belongs to workspace %s, and this database belongs to workspace %s: use its key, or another database", workspace, pinned))
		return false, nil
	}
	if err := p.directory.learnAll(ctx); err != nil {
		p.log.Warn("access groups not listed; looking them up one by one", "error", err)
	}
	p.mu.Lock()
	p.ready = true
	if p.doubted {
		p.doubted, p.confirmed = false, p.now()
	}
	p.mu.Unlock()
	p.setTrouble("")
	return true, nil
}

// heed pauses the provisioner if a call failed because the key is not accepted; it resumes when the key is accepted
// again. If the key was found to be accepted just now, the 401 concerns only that call.
func (p *Provisioner) heed(err error) {
	if seam.KindOf(err) != seam.Unauthorized || p.keyConfirmed() {
		return
	}
	p.mu.Lock()
	p.ready, p.doubted = false, true
	p.mu.Unlock()
	p.setTrouble(troubleKey)
}

// keyConfirmed reports whether Seam has recently accepted the key, when it was asked because of a 401.
func (p *Provisioner) keyConfirmed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.confirmed.IsZero() && p.now().Sub(p.confirmed) < confirmedFor
}

const (
	troubleKey   = "Seam does not accept SEAM_API_KEY: set a valid one"
	confirmedFor = time.Minute
)
