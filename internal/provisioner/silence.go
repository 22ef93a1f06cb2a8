package provisioner

import (
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// silentAfter is how many tries for what is desired now must have passed, the last two of them without a usable answer,
// before a person is notified: they take about ten minutes, and three if the guest arrives within the hour.
const silentAfter = 9

// reportSilence gives a key for which something is left to do a reason, if Seam has given no usable answer for a while:
// calls were lost, or answers contradict each other. failed is true if this attempt was one of those. The reason stays
// while attempts fail or only wait, until one has changed something at Seam.
//
// A key that is being removed keeps its status: whatever takes a key away from its guest goes by that, and so does the
// alert for removals that take too long.
func (e *ending) reportSilence(v *store.KeyVerdict, failed bool) {
	switch v.Status {
	case stay.KeyProvisioning, stay.KeyRevoking, stay.KeyExpired:
	default:
		return
	}
	k := e.key
	reported := stay.Text(k.Reason) == stay.ReasonNoAnswer && (failed || e.changes == 0)
	if !reported && !(failed && k.LastError != nil && v.Attempts >= silentAfter) {
		return
	}
	v.Reason, v.Message = stay.ReasonNoAnswer, stay.Message(stay.ReasonNoAnswer)
	if v.Status == stay.KeyProvisioning {
		v.Status = stay.KeyAttention
	}
}
