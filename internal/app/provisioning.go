package app

import (
	"cmp"
	"context"
	"fmt"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/provisioner"
)

// provisioning returns the status of the work at Seam.
func (h *health) provisioning(ctx context.Context) (admin.Provisioning, error) {
	p := admin.Provisioning{Disconnected: []admin.Disconnected{}}
	if trouble := h.stopped(); trouble != "" {
		p.Paused = &trouble
	}
	disconnected, err := h.store.ACSSystems.Disconnections(ctx)
	if err != nil {
		return p, err
	}
	for _, d := range disconnected {
		p.Disconnected = append(p.Disconnected, admin.Disconnected{
			ACSSystemID: d.ACSSystemID,
			Since:       pms.FormatInstant(d.Since), Problem: d.Problem,
		})
	}
	last, err := provisioner.LastSweep(ctx, h.store)
	if err == nil && !last.At.IsZero() {
		p.LastSweep = admin.ShowSweep(last)
	}
	return p, err
}

// stopped describes why no key is created or changed, "" while keys are.
func (h *health) stopped() string { return cmp.Or(h.provisioner.Trouble(), h.provisioner.Outage()) }

// troubles describes what prevents provisioning, by the names that readiness's detail has for it.
func troubles(p admin.Provisioning) map[string]string {
	degraded := map[string]string{}
	if p.Paused != nil {
		degraded["seam"] = *p.Paused
	}
	if n := len(p.Disconnected); n > 0 {
		degraded["access_systems"] = fmt.Sprintf("%d disconnected, the first is %s: reconnect it in the Seam console",
			n, p.Disconnected[0].ACSSystemID)
	}
	if p.LastSweep != nil && p.LastSweep.HeldBack > 0 {
		degraded["sweep"] = fmt.Sprintf(
			"%d keys are missing at Seam, too many at once for automatic repair: check that the access system is the right one, then reconcile reservations by hand", p.LastSweep.HeldBack)
	}
	if p.LastSweep != nil && p.LastSweep.Unknown > 0 {
		degraded["database"] = fmt.Sprintf(
			"it doesn't know %d ACS users that staykey created: if it was restored from a backup, restart with "+
				"STAYKEY_DRIFT=report and have the PMS resend what changed since", p.LastSweep.Unknown)
	}
	return degraded
}
