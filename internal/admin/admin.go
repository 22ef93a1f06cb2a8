// Package admin is what an admin can ask and do, each thing once: the page and REST (and, through REST, the command
// line) are faces over it. Every method reads the actor from its context ([WithActor]), answers only about the
// sources that the actor's token may see, and has each change written to the audit log in the transaction of the
// change. A method that can't do what it was asked returns an [*Error], whose text is for the admin; any other
// error is an internal one, and none of it is for the admin to see.
package admin

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Intake is what admins ask of intake.
type Intake interface {
	PutListing(context.Context, store.ListingRef, pms.ListingPatch, store.Audit) (l store.Listing,
		created bool, err error)
	// DeleteListing deletes a listing that no stay uses.
	DeleteListing(context.Context, store.ListingRef, store.Audit) error
	// Act does what an admin wants of a reservation.
	Act(context.Context, store.Ref, intake.Action) error
	// Undo undoes what an action of a batch did to a reservation.
	Undo(context.Context, store.Ref, intake.Undoing) error
	// PreviewReplay finds out what applying events again would change.
	PreviewReplay(context.Context, []store.Event) (intake.Preview, error)
	// Replay has events applied again, and returns those that are.
	Replay(ctx context.Context, events []store.Event, audit store.Audit) ([]store.Event, error)
	// Import takes events of the canonical format into a source, or with dryRun finds out their results.
	Import(ctx context.Context, source string, bodies [][]byte, dryRun bool,
		audit store.Audit) ([]intake.Imported, error)
	// SetGate records what a program or a person says about a gate of a reservation.
	SetGate(context.Context, store.Ref, intake.GateAction) (stay.Gate, error)
}

// Provisioner is what admins ask about Seam.
type Provisioner interface {
	// AccessGroups lists those of the Seam workspace, for people to pick from.
	AccessGroups(context.Context) ([]stay.AccessGroup, error)
	// NotAllowed returns those access groups that keys of a source may not open.
	NotAllowed(ctx context.Context, source string, groups []string) ([]string, error)
	// EraseGuest removes what is known of a guest. It removes nothing while events about the guest are being
	// applied or the guest's stays are not over, which it returns.
	EraseGuest(ctx context.Context, address string, audit store.Audit) (stay.Erasure, error)
	// Explain works out what should be true for a reservation, without asking Seam.
	Explain(context.Context, stay.Ref) (stay.Target, error)
	// Plan compares a reservation with Seam and returns the changing calls that a reconcile would make now.
	Plan(context.Context, stay.Ref) ([]stay.PlannedCall, error)
}

// Config is what the service needs of the rest of the program. Functions are called for each request, so that a
// reload of the configuration takes effect at once.
type Config struct {
	Store       *store.Store
	Intake      Intake
	Provisioner Provisioner
	Activity    *store.Activity // what was counted here and not written down yet; nil for none
	Log         *slog.Logger
	Now         func() time.Time
	CursorKey   []byte        // of the installation, so that a cursor of one replica is valid at all of them
	DueWithin   time.Duration // arrivals this near are in the summary while they have no key
	PublicURL   string        // where PMSs reach the public listener; "" where that is not known

	Sources func() map[string]pms.Source // of the configuration
	// of a source, also of one that has left the configuration; nil for none
	Gates         func(source string) []pms.Gate
	Subscriptions func() []SubscriptionSettings // of the configuration
	// Provisioning is how the work at Seam is going, for an admin of all sources.
	Provisioning func(context.Context) (Provisioning, error)
	// Diagnose compares the configuration with the real world, except for webhooks.
	Diagnose func(context.Context) []Finding
	// TestSource posts a signed test event to a source's webhook, as its PMS would.
	TestSource func(context.Context, pms.Source) (SourceTest, error)
	// TestSubscription sends a test message to a subscription of the configuration; [store.ErrNotFound] if there is
	// none of that name.
	TestSubscription func(ctx context.Context, name string) (store.Delivery, store.AttemptResult, error)
	// Deliver has due deliveries sent at once.
	Deliver func()
	// Guests hand keys to guests; nil for nobody.
	Guests Guests
}

// Service answers admins. It is safe for concurrent use.
type Service struct {
	config      Config
	store       *store.Store
	intake      Intake
	provisioner Provisioner
	log         *slog.Logger
	now         func() time.Time
	counted     counted
}

// New returns the service.
func New(c Config) *Service {
	return &Service{config: c, store: c.Store, intake: c.Intake, provisioner: c.Provisioner, log: c.Log, now: c.Now}
}

// source finds a source of the configuration.
func (s *Service) source(name string) (pms.Source, bool) {
	source, ok := s.config.Sources()[name]
	return source, ok
}

// VisibleSources are the names of the sources that the actor sees, sorted.
func (s *Service) VisibleSources(ctx context.Context) []string {
	var names []string
	for name := range s.config.Sources() {
		if ActorOf(ctx).Sees(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
