// Package admin is what an admin can ask and do, each thing once. The page and REST (and, through REST, the command
// line) are faces over it: they parse a request, call one method here, and show the result. So they can't disagree
// about who may do what, or about what a hold means.
//
// # Parts
//
// [Service] has a part for each subject, one file each (actions.go, groups.go, ...):
//
//	svc := admin.New(admin.Config{...})
//	ctx = admin.WithActor(ctx, actor)                          // once, at the edge, after the token was checked
//	page, err := svc.Reservations.List(ctx, admin.ReservationQuery{...})
//	view, err := svc.Actions.Act(ctx, ref, admin.Action{Kind: admin.Hold, Reason: "..."})
//
// What lists and gets return are mostly the store's own rows: View, Event, Listing, Delivery and others are aliases of
// its types. So the faces don't import the store, but a column that is renamed there changes what they show; REST's
// answers have types of their own for that reason.
//
// Reading comes straight from [store.Store]. Changes go through [Intake], which owns the transaction that changes a
// stay and requests its key; questions about Seam go through [Provisioner].
//
// # What every method promises
//
//   - It reads the actor from its context ([WithActor]; without one nothing is visible) and answers only about the
//     sources that the actor's token may see. What the actor may not see doesn't exist for the actor: [NotFound].
//   - A change is written to the audit log in the transaction of the change, with the token's name and the person.
//   - If it can't do what it was asked, it returns an [*Error], whose text is for the admin and whose [Kind] a face
//     turns into a status. Any other error is internal, and none of it is for the admin to see.
//   - Lists are pages ([Page]). A cursor is sealed with the installation's key, so it is valid on every replica, and
//     only for the list that it came from.
//
// Read actor.go first, then errors.go, then the part that you need.
package admin

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Intake is what admins ask of intake.
type Intake interface {
	PutListing(ctx context.Context, ref stay.ListingRef, patch pms.ListingPatch, audit store.Audit,
		checks ...func(store.Listing) error) (l store.Listing, created bool, err error)
	// PutListings puts several listings in one transaction.
	PutListings(context.Context, map[stay.ListingRef]pms.ListingPatch, store.Audit) error
	// DeleteListing deletes a listing that no stay uses.
	DeleteListing(context.Context, stay.ListingRef, store.Audit) error
	// Act does what an admin wants of a reservation.
	Act(context.Context, stay.Ref, intake.Action) error
	// Undo undoes what an action of a batch did to a reservation.
	Undo(context.Context, stay.Ref, intake.Undoing) error
	// PreviewReplay finds out what applying events again would change.
	PreviewReplay(context.Context, []store.Event) (intake.Preview, error)
	// Replay applies events again, and returns those that it does.
	Replay(ctx context.Context, events []store.Event, audit store.Audit) ([]store.Event, error)
	// Import takes events of the canonical format into a source, or with dryRun finds out their results.
	Import(ctx context.Context, source string, bodies [][]byte, dryRun bool,
		audit store.Audit) ([]intake.Imported, error)
	// SetGate records what a program or a person says about a gate of a reservation.
	SetGate(context.Context, stay.Ref, intake.GateAction) (stay.Gate, error)
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
	// Stopped is why no key is created or changed, "" while keys are; nil: never
	Stopped func() string
	// Diagnose checks the configuration against Seam and Postgres; webhooks are not checked.
	Diagnose func(context.Context) []Finding
	// TestSource posts a signed test event to a source's webhook, as its PMS would.
	TestSource func(context.Context, pms.Source) (SourceTest, error)
	// TestSubscription sends a test message to a subscription of the configuration; [store.ErrNotFound] if there is
	// none of that name.
	TestSubscription func(ctx context.Context, name string) (store.Delivery, store.AttemptResult, error)
	// Deliver sends due deliveries at once.
	Deliver func()
	// Guests hand keys to guests; nil for nobody.
	Guests Guests
}

// Service is what admins can ask and do, by subject. It is safe for concurrent use.
type Service struct {
	// What guests booked, and what admins do about it.
	Reservations Reservations // read, search and export stays, each with its key
	Actions      Actions      // hold, revoke, re-issue and so on, for one stay or many, and undo
	Notes        StayNotes    // what staff write about stays for each other
	GuestAccess  GuestAccess  // links, app sessions and codes of guests, and erasing a guest
	Days         Days         // arrivals and departures of a day, and the calendar

	// Where keys open.
	Listings Listings
	Groups   Groups // the workspace's access groups, and those of many listings at once
	Doors    Doors  // that may not open

	// Systems around staykey.
	Sources       Sources       // PMS accounts: their state, tests and the diagnosis
	Events        Events        // the inbox: list, replay and import
	Subscriptions Subscriptions // receivers of events out
	Deliveries    Deliveries    // what was sent to them

	// Working with the page and REST.
	Overview   Overview     // the numbers of the day, how the service is doing, what is left to set up
	Sessions   Sessions     // signing in to the page
	SavedViews SavedViews   // filters of lists, by name
	Audit      AuditLog     // who did what
	Requests   KeptRequests // requests with an Idempotency-Key
}

// core is what all parts need.
type core struct {
	config      Config
	store       *store.Store
	intake      Intake
	provisioner Provisioner
	log         *slog.Logger
	now         func() time.Time
}

// New returns the service.
func New(c Config) *Service {
	s := &core{config: c, store: c.Store, intake: c.Intake, provisioner: c.Provisioner, log: c.Log, now: c.Now}
	return &Service{
		Reservations:  Reservations{s},
		Actions:       Actions{s},
		GuestAccess:   GuestAccess{s},
		Days:          Days{s},
		Listings:      Listings{s},
		Groups:        Groups{s},
		Doors:         Doors{s},
		Events:        Events{s},
		Sources:       Sources{s},
		Subscriptions: Subscriptions{s},
		Deliveries:    Deliveries{s},
		Notes:         StayNotes{s},
		SavedViews:    SavedViews{s},
		Sessions:      Sessions{s},
		Overview:      Overview{s},
		Audit:         AuditLog{s},
		Requests:      KeptRequests{s},
	}
}

// source finds a source of the configuration.
func (s *core) source(name string) (pms.Source, bool) {
	source, ok := s.config.Sources()[name]
	return source, ok
}

// sourcesShown bounds the sources that an error names.
const sourcesShown = 20

// noSource refuses a source that the actor doesn't see, and names those that the actor does.
func (s *core) noSource(ctx context.Context, name string) *Error {
	names := s.visible(ctx)
	if len(names) == 0 {
		return refuse(NotFound, unknownSource)
	}
	if len(names) > sourcesShown {
		names = append(names[:sourcesShown], "...")
	}
	return refuse(NotFound, fmt.Sprintf("unknown source %q: the configured sources are %s",
		name, strings.Join(names, ", ")))
}

// Visible are the names of the sources that the actor sees, sorted.
func (s Sources) Visible(ctx context.Context) []string { return s.visible(ctx) }

func (s *core) visible(ctx context.Context) []string {
	var names []string
	for name := range s.config.Sources() {
		if ActorOf(ctx).Sees(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
