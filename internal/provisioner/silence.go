package provisioner

import (
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// silentAfter is after how many attempts without a usable answer a person should know: about ten minutes, and three if
// the guest arrives within the hour.
const silentAfter = 9

// reportSilence gives a key for which something is left to do a reason, if Seam has given no usable answer for a while:
// calls were lost, or answers contradict each other. failed is true if this attempt was one of those. An attempt in
// between that only waits takes the reason as little away as one that fails: only an end does.
func (e *ending) reportSilence(v *store.KeyVerdict, failed bool) {
	if v.Status != stay.KeyProvisioning && v.Status != stay.KeyRevoking {
		return
	}
	k := e.key
	reported := stay.Text(k.Reason) == stay.ReasonNoAnswer && k.AttemptGeneration == k.Generation
	if reported || failed && k.LastError != nil && v.Attempts >= silentAfter {
		v.Status, v.Reason, v.Message = stay.KeyAttention, stay.ReasonNoAnswer, stay.Message(stay.ReasonNoAnswer)
	}
}
