package stay

import "fmt"

// Codes of the reasons. Programs compare them, so they never change.
const (
	ReasonListingUnknown      = "listing_unknown"
	ReasonNoRoom              = "no_room_assigned"
	ReasonListingDeleted      = "listing_deleted"
	ReasonNoGroups            = "no_access_groups"
	ReasonNoSystem            = "no_access_system"
	ReasonNoTimeZone          = "time_zone_unknown"
	ReasonNoDates             = "dates_unknown"
	ReasonBeforeHorizon       = "before_horizon"
	ReasonNoEmail             = "no_guest_email"
	ReasonGateClosed          = "gate_closed"
	ReasonInvalidStay         = "invalid_stay"
	ReasonGroupNotFound       = "access_group_not_found"
	ReasonGroupNotAllowed     = "access_group_not_allowed"
	ReasonSeveralSystems      = "access_groups_of_several_systems"
	ReasonDisconnected        = "access_system_disconnected"
	ReasonSystemNotFound      = "access_system_not_found"
	ReasonSubscriptionLimit   = "subscription_limit_exceeded"
	ReasonNotSubscribed       = "not_subscribed"
	ReasonRemovedAtSeam       = "removed_at_seam"
	ReasonSuspendedAtSeam     = "suspended_at_seam"
	ReasonDrifted             = "drifted"
	ReasonNotKept             = "not_kept_by_seam"
	ReasonHeld                = "held"
	ReasonRevokedByAdmin      = "revoked_by_admin"
	ReasonForbidden           = "forbidden_by_seam"
	ReasonRejected            = "rejected_by_seam"
	ReasonRejectedByAccessSys = "rejected_by_access_system"
	ReasonNotRemoved          = "not_removed"
	ReasonSeamReportsError    = "seam_reports_error"
	ReasonUnexpected          = "unexpected_error"
)

// Fixer is who can remove the cause of a reason.
type Fixer string

// Who can fix it.
const (
	FixNobody Fixer = "nobody"                // it resolves on its own
	FixPMS    Fixer = "the PMS"               // the reservation or listing must be corrected there
	FixAdmin  Fixer = "an admin of staykey"   // a setting, a listing or a decision
	FixSeam   Fixer = "the Seam console"      // the connection, the API key, an object
	FixSalto  Fixer = "the Salto KS site"     // subscriptions, users
	FixReport Fixer = "staykey's maintainers" // a mistake in the program
)

// Retry is whether and when staykey tries again on its own. A change of the reservation, of its listing, or an
// admin's reconcile is tried at once, whatever the reason.
type Retry string

// When it is tried again.
const (
	RetryOnChange Retry = "when something it depends on changes"
	RetryAtTime   Retry = "at a known time"
	RetryDaily    Retry = "once a day"
	RetryMinutes  Retry = "every few minutes"
	RetryMinute   Retry = "every minute while the guest is near, less often otherwise"
	RetryHourly   Retry = "about once an hour"
	RetryAdmin    Retry = "not until an admin or a later event asks for it"
)

// Reason says why a mobile key has its status.
type Reason struct {
	Code    string // stable, for programs
	Message string // for people: what is wrong and what to do; a format, see [Message]
	Fix     Fixer
	Retry   Retry
}

// Anchor is the reason's section in docs/runbook.md.
func (r Reason) Anchor() string { return "#" + r.Code }

// reasons is the one table. Anyone who needs a new reason adds a constant above, a row here, and a section in
// docs/runbook.md.
var reasons = []Reason{
	{
		ReasonListingUnknown, "Listing %[1]q isn't set up yet: have the PMS send it, or create it with PUT %[2]s.",
		FixPMS, RetryOnChange,
	},
	{
		ReasonNoRoom, "No room is assigned yet. The key is created, or opens doors again, as soon as the PMS assigns one.",
		FixPMS, RetryOnChange,
	},
	{ReasonListingDeleted, "Listing %q was deleted: move the reservation to another one. An existing key stays until check-out.", FixPMS, RetryOnChange},
	{
		ReasonNoGroups, "Listing %[1]q has no access groups: set seam_access_group_ids in the PMS or with PUT %[2]s.",
		FixAdmin, RetryOnChange,
	},
	{ReasonNoSystem, "The access system is not known: set acs_system_id on the listing or the source, or SEAM_ACS_SYSTEM_ID.", FixAdmin, RetryMinutes},
	{ReasonNoTimeZone, "Check-in and check-out are local times and no time zone is known: set time_zone on the listing or the source.", FixAdmin, RetryOnChange},
	{
		ReasonNoDates, "The PMS has not sent both dates of the stay yet: the key is created as soon as it does.",
		FixPMS, RetryOnChange,
	},
	{ReasonBeforeHorizon, "The key is created at %[2]s, %[1]s before check-in.", FixNobody, RetryAtTime},
	{ReasonNoEmail, "The guest's e-mail address is not known, and the source's guests.without_email is wait: the key is created as soon as the PMS sends one.", FixPMS, RetryDaily},
	{
		ReasonGateClosed, "%[1]s Open it in the PMS, on the reservation's page, or with PUT %[2]s.",
		FixAdmin, RetryOnChange,
	},
	{ReasonInvalidStay, "Check-out is not after check-in: correct the reservation in the PMS, or check_in_time and check_out_time of the listing.", FixPMS, RetryOnChange},
	{
		ReasonGroupNotFound, "Seam does not know access group %s: correct the listing's seam_access_group_ids.",
		FixAdmin, RetryMinutes,
	},
	{ReasonGroupNotAllowed, "Source %[2]q may not open access group %[1]s: correct the listing, or add the group to the source's access_groups in the config file.", FixAdmin, RetryOnChange},
	{
		ReasonSeveralSystems, "Access groups %s are not on access system %s: a key opens doors of one system only.",
		FixAdmin, RetryOnChange,
	},
	{ReasonDisconnected, "The access system is disconnected from Seam: reconnect it in the Seam console. Its reservations resume automatically.", FixSeam, RetryMinutes},
	{ReasonSystemNotFound, "Seam does not know the access system: correct acs_system_id of the listing or the source, or SEAM_ACS_SYSTEM_ID.", FixAdmin, RetryMinutes},
	{
		ReasonSubscriptionLimit,
		"The Salto KS site has no free user subscription: raise the limit or remove users there. staykey retries automatically.", FixSalto, RetryMinute,
	},
	{ReasonNotSubscribed, "The stay has begun and Salto KS has not subscribed the guest's user: check the site's user subscriptions in Salto KS.", FixSalto, RetryMinute},
	{ReasonRemovedAtSeam, "Somebody deleted the guest's user in Seam or Salto KS: reconcile the reservation to create a new key, or leave it.", FixAdmin, RetryAdmin},
	{ReasonSuspendedAtSeam, "Somebody suspended the guest's user in Seam or Salto KS: reconcile the reservation to lift the suspension, or leave it.", FixAdmin, RetryAdmin},
	{
		ReasonDrifted, "Somebody made a change at Seam or in Salto KS that staykey only reports: %[1]s. %[2]s.",
		FixAdmin, RetryAdmin,
	},
	{ReasonNotKept, "Seam does not keep what staykey sends, after several tries: %s. Check the guest's user in the Seam console.", FixSeam, RetryHourly},
	{
		ReasonHeld, "On hold by an admin (%s): nothing is changed at Seam until the hold is released.",
		FixAdmin, RetryAdmin,
	},
	{ReasonRevokedByAdmin, "An admin revoked the key (%s), and it is removed from Seam: issue a new mobile key to restore access.", FixAdmin, RetryAdmin},
	{
		ReasonForbidden, "The API key may not do this on the access system: check the key in the Seam console.",
		FixSeam, RetryMinutes,
	},
	{
		ReasonRejected, "Seam refused %s (%s): check last_error, fix the cause, then reconcile the reservation.",
		FixAdmin, RetryMinutes,
	},
	{
		ReasonRejectedByAccessSys,
		"Salto KS refused the user (%s): check it in the Seam console, then reconcile the reservation.",
		FixSeam, RetryMinute,
	},
	{ReasonNotRemoved, "A key that should have been removed may still open doors (%s): check the user in the Seam console, and remove it in Salto KS. staykey also retries.", FixSalto, RetryMinutes},
	{ReasonSeamReportsError, "Seam reports %s on the %s: check it in the Seam console, then reconcile the reservation or issue a new mobile key.", FixSeam, RetryMinute},
	{ReasonUnexpected, "staykey could not finish this reservation because of an unexpected error: check last_error and report it. staykey retries automatically.", FixReport, RetryMinutes},
}

// Reasons returns the whole table.
func Reasons() []Reason { return append([]Reason(nil), reasons...) }

// What to do about a change that is only reported, for the message of [ReasonDrifted].
const (
	UndoChange = "Reconcile the reservation to undo it"
	ReplaceKey = "If that isn't the guest's address, reconcile the reservation: the guest gets a new key on a new user identity, and this key is deleted"
)

// Find returns the row of a code; ok is false for one that does not exist.
func Find(code string) (r Reason, ok bool) {
	for _, r := range reasons {
		if r.Code == code {
			return r, true
		}
	}
	return Reason{}, false
}

// Message returns a reason's message with its details filled in. A code without a row is a mistake in the program: it
// panics.
func Message(code string, details ...any) string {
	r, ok := Find(code)
	if !ok {
		panic("stay: no reason " + code)
	}
	if len(details) == 0 {
		return r.Message
	}
	return fmt.Sprintf(r.Message, details...)
}

// Codes returns every code, in the order of the table.
func Codes() []string {
	codes := make([]string, len(reasons))
	for i, r := range reasons {
		codes[i] = r.Code
	}
	return codes
}
