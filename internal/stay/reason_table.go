package stay

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
	ReasonNoAnswer            = "no_answer_from_seam"
)

// reasons is the one table. CONTRIBUTING.md lists what a new reason needs besides a constant above and a row here.
// Message and Desk are also the keys of their translations, in internal/handlers/web/words.
var reasons = []Reason{
	{
		Code: ReasonListingUnknown, Fix: FixPMS, Retry: RetryOnChange,
		Message: `Listing "{listing}" isn't set up yet: have the PMS send it, or create it with PUT {path}.`,
		Desk: Desk{
			Listings: "{guests}: {n} listing not set up yet|{guests}: {n} listings not set up yet",
			Problem:  "This listing isn't set up yet.",
			Do:       "Enter a name and choose doors.",
			Button:   "Set up the listing", Opens: OpenListing,
		},
	},
	{
		Code: ReasonNoRoom, Fix: FixPMS, Retry: RetryOnChange,
		Message: "No room is assigned yet. The key is created, or opens doors again, as soon as the PMS " +
			"assigns one.",
		Desk: Desk{
			Problem: "No room is assigned yet.",
			Do:      "Assign one in the PMS: the key follows at once.",
			Button:  "Open the stay", Opens: OpenStay,
		},
	},
	{
		Code: ReasonListingDeleted, Fix: FixPMS, Retry: RetryOnChange,
		Message: `Listing "{listing}" was deleted: move the reservation to another one. An existing key stays ` +
			"until check-out.",
		Desk: Desk{
			Listings: "{guests}: {n} listing deleted in the PMS|{guests}: {n} listings deleted in the PMS",
			Problem:  "This listing was deleted in the PMS.",
			Do:       "Move the stay to another room in the PMS.",
			Button:   "Open the listing", Opens: OpenListing,
		},
	},
	{
		Code: ReasonNoGroups, Fix: FixAdmin, Retry: RetryOnChange,
		Message: `Listing "{listing}" has no access groups: set seam_access_group_ids in the PMS or with PUT ` +
			"{path}.",
		Desk: Desk{
			Listings: "{guests}: {n} listing without doors|{guests}: {n} listings without doors",
			Problem:  "This listing has no doors yet.",
			Do:       "Choose which doors the keys open.",
			Button:   "Choose doors", Opens: OpenListing,
		},
	},
	{
		Code: ReasonNoSystem, Fix: FixAdmin, Retry: RetryMinutes,
		Message: "The access system is not known: set acs_system_id on the listing or the source, or " +
			"SEAM_ACS_SYSTEM_ID.",
		Desk: Desk{
			Listings: "{guests}: {n} listing without an access system|{guests}: {n} listings without an access system",
			Problem:  "The access system of this listing isn't known.",
			Do:       "Choose doors, or enter the access system.",
			Button:   "Set up the listing", Opens: OpenListing,
		},
	},
	{
		Code: ReasonNoTimeZone, Fix: FixAdmin, Retry: RetryOnChange,
		Message: "Check-in and check-out are local times and no time zone is known: set time_zone on the " +
			"listing or the source.",
		Desk: Desk{
			Listings: "{guests}: {n} listing without a time zone|{guests}: {n} listings without a time zone",
			Problem:  "The time zone of this listing isn't known.",
			Do:       "Enter the time zone, so that keys open doors at the right hour.",
			Button:   "Set the time zone", Opens: OpenListing,
		},
	},
	{
		Code: ReasonNoDates, Fix: FixPMS, Retry: RetryOnChange,
		Message: "The PMS has not sent both dates of the stay yet: the key is created as soon as it does.",
		Desk: Desk{
			Problem: "The PMS hasn't sent the dates of the stay.",
			Do:      "Save the reservation again in the PMS.",
			Button:  "Open the stay", Opens: OpenStay,
		},
	},
	{
		Code: ReasonBeforeHorizon, Fix: FixNobody, Retry: RetryAtTime,
		Message: "The key is created at {time}, {before} before check-in.",
		Desk: Desk{
			Problem: "The key isn't due yet.",
			Button:  "Open the stay", Opens: OpenStay,
		},
	},
	{
		Code: ReasonNoEmail, Fix: FixPMS, Retry: RetryDaily,
		Message: "The guest's e-mail address is not known, and the source's guests.without_email is wait: the " +
			"key is created as soon as the PMS sends one.",
		Desk: Desk{
			Problem: "The guest's e-mail address is missing.",
			Do:      "Enter it in the PMS: the key follows at once.",
			Button:  "Open the stay", Opens: OpenStay,
		},
	},
	{
		Code: ReasonGateClosed, Fix: FixAdmin, Retry: RetryOnChange,
		Message: "{gates} Open it in the PMS, on the reservation's page, or with PUT {path}.",
		Desk: Desk{
			Problem: "Something is still open, such as a payment or the check-in form.",
			Do:      "Settle it in the PMS, or open it on the stay's page.",
			Button:  "Open the stay", Opens: OpenStay,
		},
	},
	{
		Code: ReasonInvalidStay, Fix: FixPMS, Retry: RetryOnChange,
		Message: "Check-out is not after check-in: correct the reservation in the PMS, or check_in_time and " +
			"check_out_time of the listing.",
		Desk: Desk{
			Problem: "Check-out is not after check-in.",
			Do:      "Correct the dates in the PMS.",
			Button:  "Open the stay", Opens: OpenStay,
		},
	},
	{
		Code: ReasonGroupNotFound, Fix: FixAdmin, Retry: RetryMinutes,
		Message: "Seam does not know access group {group}: correct the listing's seam_access_group_ids.",
		Desk: Desk{
			Listings: "{guests}: {n} listing with a door that no longer exists|{guests}: {n} listings with a door " +
				"that no longer exists",
			Problem: "A door of this listing no longer exists in Salto KS.",
			Do:      "Choose the doors again.",
			Button:  "Choose doors", Opens: OpenListing,
		},
	},
	{
		Code: ReasonGroupNotAllowed, Fix: FixAdmin, Retry: RetryOnChange,
		Message: `Source "{source}" may not open access group {group}: correct the listing, or add the group ` +
			"to the source's access_groups in the config file.",
		Desk: Desk{
			Listings: "{guests}: {n} listing with doors of another property|{guests}: {n} listings with doors of " +
				"another property",
			Problem: "A door of this listing belongs to another property.",
			Do:      "Choose other doors, or ask your operator to allow the door in the configuration.",
			Button:  "Choose doors", Opens: OpenListing,
		},
	},
	{
		Code: ReasonSeveralSystems, Fix: FixAdmin, Retry: RetryOnChange,
		Message: "Access groups {groups} are not on access system {system}: a key opens doors of one system " +
			"only.",
		Desk: Desk{
			Listings: "{guests}: {n} listing with doors of two access systems|{guests}: {n} listings with doors of " +
				"two access systems",
			Problem: "The doors of this listing are on two access systems. A key opens doors of one.",
			Do:      "Choose doors of one system.",
			Button:  "Choose doors", Opens: OpenListing,
		},
	},
	{
		Code: ReasonDisconnected, Fix: FixSeam, Retry: RetryMinutes,
		Message: "The access system is disconnected from Seam: reconnect it in the Seam console. Its " +
			"reservations resume automatically.",
		Desk: Desk{
			Problem: "The access system is disconnected.",
			Do:      "Reconnect it in the Seam console: the keys follow on their own.",
			Button:  "Try again", Opens: CompareStay,
		},
	},
	{
		Code: ReasonSystemNotFound, Fix: FixAdmin, Retry: RetryMinutes,
		Message: "Seam does not know the access system: correct acs_system_id of the listing or the source, " +
			"or SEAM_ACS_SYSTEM_ID.",
		Desk: Desk{
			Listings: "{guests}: {n} listing with an unknown access system|{guests}: {n} listings with an unknown " +
				"access system",
			Problem: "Seam doesn't know the access system of this listing.",
			Do:      "Correct the access system.",
			Button:  "Set up the listing", Opens: OpenListing,
		},
	},
	{
		Code: ReasonSubscriptionLimit, Fix: FixSalto, Retry: RetryMinute,
		Message: "The Salto KS site has no free user subscription: raise the limit or remove users there. " +
			"staykey retries automatically.",
		Desk: Desk{
			Problem: "Salto KS has no free user subscription.",
			Do:      "Add subscriptions or remove users in Salto KS. staykey tries again every minute.",
			Button:  "Try again", Opens: CompareStay,
		},
	},
	{
		Code: ReasonNotSubscribed, Fix: FixSalto, Retry: RetryMinute,
		Message: "The stay has begun and Salto KS has not subscribed the guest's user: check the site's user " +
			"subscriptions in Salto KS.",
		Desk: Desk{
			Problem: "Salto KS hasn't activated the guest.",
			Do:      "Check the site's user subscriptions in Salto KS.",
			Button:  "Try again", Opens: CompareStay,
		},
	},
	{
		Code: ReasonRemovedAtSeam, Fix: FixAdmin, Retry: RetryAdmin,
		Message: "Somebody deleted the guest's user in Seam or Salto KS: reconcile the reservation to create " +
			"a new key, or leave it.",
		Desk: Desk{
			Problem: "Somebody took the key away in Salto KS.",
			Button:  "Restore the key", Opens: CompareStay,
		},
	},
	{
		Code: ReasonSuspendedAtSeam, Fix: FixAdmin, Retry: RetryAdmin,
		Message: "Somebody suspended the guest's user in Seam or Salto KS: reconcile the reservation to lift " +
			"the suspension, or leave it.",
		Desk: Desk{
			Problem: "Somebody suspended the guest in Salto KS.",
			Button:  "Restore the key", Opens: CompareStay,
		},
	},
	{
		Code: ReasonDrifted, Fix: FixAdmin, Retry: RetryAdmin,
		Message: "Somebody made a change at Seam or in Salto KS that staykey only reports: {change}. {do}.",
		Desk: Desk{
			Problem: "Somebody changed the key in Salto KS.",
			Button:  "Restore the key", Opens: CompareStay,
		},
	},
	{
		Code: ReasonNotKept, Fix: FixSeam, Retry: RetryHourly,
		Message: "Seam does not keep what staykey sends, after several tries: {what}. Check the guest's user " +
			"in the Seam console.",
		Desk: Desk{
			Problem: "Seam doesn't keep what staykey sends.",
			Do:      "Ask your operator to check the guest in the Seam console.",
			Button:  "Try again", Opens: CompareStay,
		},
	},
	{
		Code: ReasonHeld, Fix: FixAdmin, Retry: RetryAdmin,
		Message: "On hold by an admin ({reason}): nothing is changed at Seam until the hold is released.",
		Desk: Desk{
			Problem: "Somebody put the stay on hold.",
			Do:      "Release the hold to apply changes to the key.",
			Button:  "Release", Opens: ReleaseHold,
		},
	},
	{
		Code: ReasonRevokedByAdmin, Fix: FixAdmin, Retry: RetryAdmin,
		Message: "An admin revoked the key ({reason}), and it is removed from Seam: issue a new mobile key to " +
			"restore access.",
		Desk: Desk{
			Problem: "Somebody revoked the key.",
			Do:      "Create a new one if the guest may enter.",
			Button:  "New mobile key", Opens: RenewKey,
		},
	},
	{
		Code: ReasonForbidden, Fix: FixSeam, Retry: RetryMinutes,
		Message: "The API key may not do this on the access system: check the key in the Seam console.",
		Desk: Desk{
			Problem: "Seam doesn't let staykey use the access system.",
			Do:      "Ask your operator to check the Seam API key.",
			Button:  "Try again", Opens: CompareStay,
		},
	},
	{
		Code: ReasonRejected, Fix: FixAdmin, Retry: RetryMinutes,
		Message: "Seam refused {what} ({why}): check last_error, fix the cause, then reconcile the reservation.",
		Desk: Desk{
			Problem: "Seam refused the key.",
			Do:      "The stay's page has the reason.",
			Button:  "Try again", Opens: CompareStay,
		},
	},
	{
		Code: ReasonRejectedByAccessSys, Fix: FixSeam, Retry: RetryMinute,
		Message: "Salto KS refused the user ({why}): check it in the Seam console, then reconcile the " +
			"reservation.",
		Desk: Desk{
			Problem: "Salto KS refused the guest.",
			Do:      "Ask your operator to check the guest in the Seam console.",
			Button:  "Try again", Opens: CompareStay,
		},
	},
	{
		Code: ReasonNotRemoved, Fix: FixSalto, Retry: RetryMinutes,
		Message: "A key that should have been removed may still open doors ({why}): check the user in the " +
			"Seam console, and remove it in Salto KS. staykey also retries.",
		Desk: Desk{
			Problem: "A key that should be gone may still open doors.",
			Do:      "If this doesn't clear, remove the guest in Salto KS.",
			Button:  "Try again", Opens: CompareStay,
		},
	},
	{
		Code: ReasonSeamReportsError, Fix: FixSeam, Retry: RetryMinute,
		Message: "Seam reports {error} on the {what}: check it in the Seam console, then reconcile the " +
			"reservation or issue a new mobile key.",
		Desk: Desk{
			Problem: "Seam reports an error on the key.",
			Do:      "A new key often helps. The stay's page has the error.",
			Button:  "New mobile key", Opens: RenewKey,
		},
	},
	{
		Code: ReasonUnexpected, Fix: FixReport, Retry: RetryMinutes,
		Message: "staykey could not finish this reservation because of an unexpected error: check last_error " +
			"and report it. staykey retries automatically.",
		Desk: Desk{
			Problem: "staykey couldn't finish the key.",
			Do:      "It tries again on its own. The stay's page has the error.",
			Button:  "Try again", Opens: CompareStay,
		},
	},
	{
		Code: ReasonNoAnswer, Fix: FixSeam, Retry: RetryMinutes,
		Message: "Seam has given no usable answer to this reservation's requests for a while: " +
			"check last_error and Seam's status page. staykey retries automatically.",
		Desk: Desk{
			Problem: "Seam doesn't answer.",
			Do:      "staykey tries again on its own. If this lasts, ask your operator to check Seam.",
			Button:  "Try again", Opens: CompareStay,
		},
	},
}

// Displaced is the message of [ReasonRemovedAtSeam] while the guest's user exists at Seam and serves nobody.
const Displaced = "The guest's user identity at Seam is somebody else's now, so the guest can't use the key: reconcile the reservation to create a new key, or leave it."

// What to do about a change that is only reported, for the message of [ReasonDrifted].
const (
	UndoChange = "Reconcile the reservation to undo it"
	ReplaceKey = "If that isn't the guest's address, reconcile the reservation: the guest gets a new key on a new user identity, and this key is deleted"
)
