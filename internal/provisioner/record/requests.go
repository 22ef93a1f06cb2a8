package record

// Requests are which requests, of an admin or a later event, were used up: each brings back what somebody removed at
// Seam once, and repairs what Seam has not kept before once.
type Requests struct {
	RevivedGeneration  int64 // of the desired state that it was last created or unsuspended for
	RepairedGeneration int64 // of the desired state that it was last repaired for, in spite of earlier repairs
}

// MayRevive reports whether a request of this generation may bring back what somebody removed or suspended at Seam. It
// may do so once: what is gone again was removed in spite of it.
func (r *Requests) MayRevive(generation int64) bool { return r.RevivedGeneration < generation }

// NotRevived records that its create has restored nothing: the request for it is not spent.
func (r *Requests) NotRevived() { r.RevivedGeneration = 0 }

// MayRepair reports whether a request of this generation may repair what Seam has not kept before. It may do so once,
// whatever else it has brought back.
func (r *Requests) MayRepair(generation int64) bool { return r.RepairedGeneration < generation }

// RepairedFor records that a request of this generation had repaired what Seam has not kept before.
func (r *Requests) RepairedFor(generation int64) { r.RepairedGeneration = generation }
