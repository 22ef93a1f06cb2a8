package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/stdlib"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/provisioner"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/sso"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/migrations"
)

// saltoKS is Seam's external_type of the access systems that this is for (Seam's OpenAPI, acs_system.external_type).
const saltoKS = "salto_ks_site"

// Clocks that differ by more are wrong: webhooks are refused from five minutes on.
const (
	skewWarning = 5 * time.Second
	skewError   = time.Minute
)

// diagnosedListings bounds how many listings are reported.
const diagnosedListings = 20_000

// diagnosis collects findings.
type diagnosis struct {
	configured   *configured
	store        *store.Store
	client       *seam.Client
	signIns      *sso.Client
	seamEndpoint string
	seamSystemID string // SEAM_ACS_SYSTEM_ID; "" for none
	trouble      string // why provisioning is paused; "" if it isn't

	findings []admin.Finding
}

func (d *diagnosis) found(check, level, subject, do, format string, args ...any) {
	d.findings = append(d.findings, admin.Finding{
		Check: check, Level: level, Subject: subject,
		Message: fmt.Sprintf(format, args...), Do: do,
	})
}

// diagnose checks the configuration against Seam and Postgres; webhooks are not checked.
func (s *service) diagnose(ctx context.Context) []admin.Finding {
	d := &diagnosis{
		configured: s.configured, store: s.store, client: s.seam, signIns: s.signIns,
		seamEndpoint: s.config.SeamEndpoint, seamSystemID: s.config.SeamSystemID, trouble: s.provisioner.Trouble(),
		findings: []admin.Finding{},
	}
	d.database(ctx)
	groups, reached := d.seam(ctx)
	if reached {
		d.listings(ctx, groups)
	}
	d.sources()
	d.orphans(ctx)
	d.gates(ctx)
	d.subscriptions(ctx)
	d.writeBack(ctx)
	d.intake(ctx)
	d.signIn(ctx)
	return d.findings
}

func (d *diagnosis) database(ctx context.Context) {
	var version string
	var now time.Time
	asked := time.Now()
	if err := d.store.Pool().QueryRow(ctx, `SELECT current_setting('server_version'), clock_timestamp()`).Scan(&version,
		&now); err != nil {
		d.found("database", admin.LevelError, "Postgres", "check that Postgres runs and that DATABASE_URL is right",
			"it does not answer: %v", err)
		return
	}
	d.found("database", admin.LevelOK, "Postgres", "", "version %s answers in %s", version,
		took(time.Since(asked)))
	d.clock("Postgres", now, asked)
	if last, err := provisioner.LastSweep(ctx, d.store); err == nil && last.Unknown > 0 {
		d.found("database", admin.LevelError, "Postgres",
			"if it was restored from a backup, restart with STAYKEY_DRIFT=report and have the PMS resend what "+
				"changed since; else end the copy of it that uses this workspace",
			"the last sweep found %d ACS users that staykey created and that the database doesn't know", last.Unknown)
	}
	db := stdlib.OpenDBFromPool(d.store.Pool())
	defer func() { _ = db.Close() }()
	switch pending, err := migrations.Pending(ctx, db); {
	case err != nil:
		d.found("migrations", admin.LevelError, "Postgres", "run staykey migrate status", "reading failed: %v", err)
	case pending:
		d.found("migrations", admin.LevelError, "Postgres", "run staykey migrate",
			"the database lacks migrations of this version")
	default:
		d.found("migrations", admin.LevelOK, "Postgres", "", "the database has this version's schema")
	}
}

// took writes how long an answer took, in milliseconds.
func took(d time.Duration) string {
	if d < time.Millisecond {
		return "<1ms"
	}
	return d.Round(time.Millisecond).String()
}

// CompareClocks compares this machine's clock with that of another one, which was read at some time since asked.
func CompareClocks(of string, theirs, asked time.Time) admin.Finding {
	var d diagnosis
	d.clock(of, theirs, asked)
	return d.findings[0]
}

func (d *diagnosis) clock(of string, theirs, asked time.Time) {
	ours := time.Now()
	skew := max(asked.Sub(theirs), theirs.Sub(ours), 0)
	const do = "synchronize all machines by NTP"
	switch {
	case skew > skewError:
		d.found("clock", admin.LevelError, of, do,
			"its clock and ours differ by %s: webhooks are refused from five minutes on", skew.Round(time.Second))
	case skew > skewWarning:
		d.found("clock", admin.LevelWarning, of, do, "its clock and ours differ by %s", skew.Round(time.Second))
	default:
		d.found("clock", admin.LevelOK, of, "", "its clock and ours agree")
	}
}

// seam asks Seam for what everything depends on, and returns the access groups that exist.
func (d *diagnosis) seam(ctx context.Context) (groups map[string]bool, reached bool) {
	asked := time.Now()
	workspace, err := d.client.WorkspaceID(ctx)
	switch {
	case seam.KindOf(err) == seam.Unauthorized:
		d.found("seam", admin.LevelError, "API key", "set a valid SEAM_API_KEY and restart",
			"Seam refuses SEAM_API_KEY")
		return nil, false
	case err != nil:
		d.found("seam", admin.LevelError, d.seamEndpoint, "check that this machine can reach the endpoint",
			"Seam gives no usable answer: %v", err)
		return nil, false
	}

	if trouble := d.trouble; trouble != "" {
		d.found("seam", admin.LevelError, "API key", "", "provisioning is paused: %s", trouble)
	} else {
		d.found("seam", admin.LevelOK, "API key", "", "Seam accepts it (workspace %s) and answers in %s", workspace,
			took(time.Since(asked)))
	}

	d.seamClock(ctx)
	list, err := d.client.Systems(ctx)
	if err != nil {
		d.found("access_system", admin.LevelError, "all", "", "listing failed: %v", err)
		return nil, false
	}

	if len(list) == 0 {
		d.found("access_system", admin.LevelError, "all", "connect the Salto KS site in the Seam console",
			"the workspace has no access system")
	}
	for _, system := range list {
		d.system(system)
	}

	if want := d.seamSystemID; want != "" && !slices.ContainsFunc(list,
		func(s seam.System) bool { return s.ACSSystemID == want }) {
		d.found("access_system", admin.LevelError, want, "correct SEAM_ACS_SYSTEM_ID",
			"the workspace has no such access system")
	}

	all, err := d.client.AccessGroups(ctx, "")
	if err != nil {
		d.found("seam", admin.LevelError, "access groups", "", "listing failed: %v", err)
		return nil, false
	}

	groups = map[string]bool{}
	for _, g := range all {
		groups[g.ACSAccessGroupID] = true
	}
	return groups, true
}

// seamClock reads the date that Seam puts on its answers.
func (d *diagnosis) seamClock(ctx context.Context) {
	asked := time.Now().Truncate(time.Second) // the header has whole seconds
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, d.seamEndpoint, nil)
	if err != nil {
		return
	}
	resp, err := http.DefaultTransport.RoundTrip(req) // no redirects, and no key
	if err != nil {
		return
	}
	_ = resp.Body.Close()
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		d.clock("Seam", date, asked)
	}
}

func (d *diagnosis) system(system seam.System) {
	name := system.Name + " (" + system.ACSSystemID + ")"
	clean := true
	if system.ExternalType != saltoKS {
		clean = false
		d.found("access_system", admin.LevelWarning, name, "use it only if you know that its keys work the same way",
			"it is a %s: staykey is made for Salto KS (%s)", system.ExternalType, saltoKS)
	}
	for _, e := range system.Errors {
		clean = false
		do := "check the access system in the Seam console"
		switch {
		case seam.IsDisconnection(e.ErrorCode):
			do = "reconnect it in the Seam console; its reservations then resume automatically"
		case e.ErrorCode == "salto_ks_subscription_limit_exceeded":
			do = "raise the site's limit of subscribed users in Salto KS, or remove users there; until then no new guest can open doors"
		}
		d.found("access_system", admin.LevelError, name, do, "%s: %s", e.ErrorCode, e.Message)
	}
	for _, w := range system.Warnings {
		clean = false
		do := "check the access system in the Seam console"
		if w.WarningCode == "salto_ks_subscription_limit_almost_reached" {
			do = "raise the site's limit of subscribed users in Salto KS, or remove users there, before it is reached"
		}
		d.found("access_system", admin.LevelWarning, name, do, "%s: %s", w.WarningCode, w.Message)
	}
	if clean {
		d.found("access_system", admin.LevelOK, name, "", "connected; subscriptions available")
	}
}

// listings looks for listings whose keys would open nothing, or not what they should.
func (d *diagnosis) listings(ctx context.Context, groups map[string]bool) {
	wrong, looked, err := d.store.Listings.WrongGroups(ctx, slices.Collect(maps.Keys(groups)), diagnosedListings)
	if err != nil {
		d.found("listing", admin.LevelError, "all", "", "reading failed: %v", err)
		return
	}
	for _, l := range wrong {
		missing := slices.DeleteFunc(slices.Clone(l.Groups()), func(id string) bool { return groups[id] })
		path := stay.ListingPath(l.Source, l.ListingID)
		if len(missing) == 0 {
			d.foundListing(l, admin.FindingNoDoors, admin.LevelWarning,
				"set its access groups, on its page or with PUT "+path, "no access groups: its guests get no key")
			continue
		}
		d.foundListing(l, admin.FindingUnknownDoor, admin.LevelError,
			"correct its access groups, on its page or with PUT "+path,
			"Seam does not know access group %s", strings.Join(missing, ", "))
	}
	if len(wrong) == 0 {
		d.found("listing", admin.LevelOK, "all", "", "%d listings have access groups that Seam knows", looked)
	}
}

// foundListing adds a finding on a listing.
func (d *diagnosis) foundListing(l store.Listing, kind admin.FindingKind, level, do, format string, args ...any) {
	d.found("listing", level, l.Source+"/"+l.ListingID, do, format, args...)
	f := &d.findings[len(d.findings)-1]
	f.Kind = kind
	f.Listing = &admin.FoundListing{
		ListingRef: stay.ListingRef{Source: l.Source, ListingID: l.ListingID}, Name: stay.Text(l.Name),
	}
}

func (d *diagnosis) sources() {
	for _, owner := range d.configured.sources.Load().Guessable() {
		d.found("secret", admin.LevelWarning, owner,
			`make a random one: "whsec_" and the output of openssl rand -base64 24`,
			"a signing secret repeats itself and is easy to guess")
	}
	sources := d.configured.sources.Load().Sources
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		source := sources[name]
		if source.Insecure {
			d.found("source", admin.LevelWarning, name, "give it a verifier",
				"accepts webhooks from anybody: verify.method is none")
		}
		if source.Format != nil && source.Format.Fetch != nil && source.Fetch == nil {
			d.found("source", admin.LevelError, name, "give it a fetch block",
				"its events need documents from the PMS and wait as %s", store.ReasonNeedsFetch)
		}
	}
}

func (d *diagnosis) intake(ctx context.Context) {
	switch n, oldest, err := d.store.Events.Backlog(ctx, nil); {
	case err != nil:
		d.found("intake", admin.LevelError, "inbox", "", "it can't be read: %v", err)
	case oldest != nil && time.Since(*oldest) > admin.SlowBacklog:
		d.found("intake", admin.LevelWarning, "inbox", "check the service's log and the load of Postgres",
			"%d events wait to be applied, the oldest since %s", n, pms.FormatInstant(*oldest))
	default:
		d.found("intake", admin.LevelOK, "inbox", "", "%d events wait to be applied", n)
	}
}

// signIn asks the identity provider for what a sign-in needs.
func (d *diagnosis) signIn(ctx context.Context) {
	settings := d.configured.sources.Load().SignIn
	if settings == nil {
		return
	}
	err := d.signIns.Check(ctx, *settings)
	switch {
	case errors.Is(err, sso.ErrUnreachable):
		d.found("sign_in", admin.LevelError, settings.Issuer,
			"check sign_in.issuer, and that this machine can reach it; people can sign in with tokens meanwhile",
			"%v", err)
	case err != nil:
		d.found("sign_in", admin.LevelError, settings.Issuer, "correct the identity provider's configuration",
			"%v", err)
	default:
		d.found("sign_in", admin.LevelOK, settings.Issuer, "", "the identity provider answers; groups with a role: %d",
			len(settings.Roles))
	}
}
