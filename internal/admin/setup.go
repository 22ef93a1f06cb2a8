package admin

import (
	"context"

	"github.com/staykey/staykey/internal/store"
)

// Setup is how far an installation is set up, from nothing to the first key.
type Setup struct {
	Paused   string // why nothing is created at Seam; "" while keys are created
	Asked    bool   // Seam answers
	Doors    int    // access groups to choose from
	Sources  []SourceState
	Listings bool // there is a listing that is set up
	Missing  int  // listings without doors, counted to missingCounted
	Stays    bool // there is a reservation
	Key      bool // a key has opened doors, or can
}

// missingCounted bounds how far listings without doors are counted.
const missingCounted = 100

// Setup returns how far the installation is set up, as far as the actor sees it.
func (s Overview) Setup(ctx context.Context) (Setup, error) {
	var set Setup
	p, err := s.provisioning(ctx)
	if err != nil {
		return set, err
	}
	if p.Paused != nil {
		set.Paused = *p.Paused
	}

	groups := Groups(s).All(ctx)
	set.Asked, set.Doors = groups.Asked, len(groups.Choices)
	if set.Sources, err = Sources(s).List(ctx); err != nil {
		return set, err
	}

	sources := ActorOf(ctx).Sources
	live := false
	listings, err := s.store.Listings.List(ctx, store.ListingFilter{Deleted: &live, Sources: sources}, store.Cursor{},
		1)
	if err != nil {
		return set, err
	}
	set.Listings = len(listings) > 0

	if set.Missing, err = Groups(s).CountMissing(ctx, missingCounted); err != nil {
		return set, err
	}
	if set.Stays, err = s.store.Reservations.Exist(ctx, sources); err != nil {
		return set, err
	}
	set.Key, err = s.store.Keys.Exist(ctx, sources)
	return set, err
}

// Connected reports whether a PMS has posted something.
func (s Setup) Connected() bool {
	for _, source := range s.Sources {
		if source.LastEventAt != nil {
			return true
		}
	}
	return false
}

// Tested reports whether a test event was stored, or something better.
func (s Setup) Tested() bool {
	for _, source := range s.Sources {
		if source.TestedAt != nil {
			return true
		}
	}
	return s.Connected()
}
