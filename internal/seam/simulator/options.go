package simulator

import "time"

// SecondUser says what happens when an identity that has an ACS user on a system gets another one. Seam
// documents one for each, but not what happens to a second.
type SecondUser string

// The switch's positions.
const (
	Allow          SecondUser = "allow"
	Refuse         SecondUser = "refuse"
	ReturnExisting SecondUser = "return_existing"
	MoveLink       SecondUser = "move_link"
)

// UnknownIdentity says what a list of ACS users answers for an identity that doesn't exist.
type UnknownIdentity string

// The switch's positions.
const (
	Empty      UnknownIdentity = "empty"
	NotFound   UnknownIdentity = "not_found"
	Everything UnknownIdentity = "everything" // as the vendor's own fake does
)

// ErrorText selects what the texts of errors and warnings contain.
type ErrorText string

// The switch's positions.
const (
	Plain    ErrorText = "plain"
	Long     ErrorText = "long"      // thousands of bytes
	NonASCII ErrorText = "non_ascii" // a cut at a byte may split a letter
	NUL      ErrorText = "nul"       // which Postgres can't store
	HTML     ErrorText = "html"
	Guest    ErrorText = "guest" // quotes an e-mail address and a phone number
)

// Options of a simulator. The zero value answers at once and holds nothing. Durations are nanoseconds in JSON.
type Options struct {
	APIKey    string `json:"-"` // "" takes any
	StateFile string `json:"-"` // kept across restarts, if set

	// What Seam's documents leave open.
	SecondUser SecondUser `json:"second_user"` // default allow
	// an ACS user that is being deleted still counts as the first
	DeletingBlocks      bool            `json:"deleting_blocks"`
	UnknownIdentity     UnknownIdentity `json:"unknown_identity"`      // default empty
	CaseSensitiveEmail  bool            `json:"case_sensitive_email"`  // "A@b.c" and "a@b.c" may both exist
	IgnoreUnknownGroups bool            `json:"ignore_unknown_groups"` // in acs/users/create; else the call is refused
	UniqueStatus        int             `json:"unique_status"`         // of a violated uniqueness, default 400
	// its error type, default user_identity_already_exists
	UniqueType string        `json:"unique_type"`
	StoredName StoredName    `json:"stored_name"` // what the access system makes of full_name, default as it was sent
	ClockAhead time.Duration `json:"clock_ahead"` // how far the clock of created_at is ahead; negative: it is late
	Rounding   time.Duration `json:"rounding"`    // schedules are stored in multiples of this
	// schedules are answered in another time zone, without fractions
	TimesWithOffset bool `json:"times_with_offset"`

	// What is refused.
	RefuseEmail   string `json:"refuse_email"`   // an address that Seam doesn't take
	RefuseDeletes bool   `json:"refuse_deletes"` // acs/users/delete is accepted, and Salto KS keeps the user

	// acs/users/delete is accepted, and the user is shown nowhere until Salto KS refuses that, so much later
	RefuseDeletesAfter time.Duration `json:"refuse_deletes_after"`

	RefuseCodes bool `json:"refuse_codes"` // PINs can't be made

	// How long things take.
	Pending        time.Duration `json:"pending"`         // how long mutations stay pending
	DeleteHang     time.Duration `json:"delete_hang"`     // how long a delete stays pending, default Pending
	Defer          bool          `json:"defer"`           // a user's creation is deferred until it is subscribed
	SubscribeDelay time.Duration `json:"subscribe_delay"` // after starts_at, or after its creation if that is later
	CodeDelay      time.Duration `json:"code_delay"`      // until Salto has created a PIN
	Latency        time.Duration `json:"latency"`         // of each answer
	// how long faults that give no answer last before the connection closes, 0: until the client gives up
	HangFor time.Duration `json:"hang_for"`

	// What is handed to phones. Seam's documents give no lives, and leave open what goes with what.
	InstantKeyLife time.Duration `json:"instant_key_life"` // default 48 h, as in Seam's examples
	// of a session that was asked for without an end, default 1 h
	SessionLife         time.Duration `json:"session_life"`
	SessionLongest      time.Duration `json:"session_longest"`       // later ends are cut to this, 0 is none
	KeepSessionOfKey    bool          `json:"keep_session_of_key"`   // deleting an instant key leaves its session
	ListRevokedSessions bool          `json:"list_revoked_sessions"` // a revoked session is still in lists
	// an instant key that is over is not found any more
	ForgetExpiredKeys bool `json:"forget_expired_keys"`
	// get_or_create ignores user_identifier_key, and may answer an instant key's session
	AnySession bool `json:"any_session"`

	// What reads and writes see. A write looks up its objects in the state as it was that long ago, and changes the
	// current state.
	ReadLag   time.Duration `json:"read_lag"` // of gets and lists
	GetLag    time.Duration `json:"get_lag"`
	ListLag   time.Duration `json:"list_lag"`
	WriteLag  time.Duration `json:"write_lag"`
	UnevenLag bool          `json:"uneven_lag"` // each lag is random, up to the longest
	Hidden    []string      `json:"hidden"`     // ids of objects that lists leave out

	// What answers look like. Fields are named "acs_user.full_name"; "optional" is each field that Seam's OpenAPI
	// doesn't require.
	Omit    []string `json:"omit"`    // fields that are left out
	Null    []string `json:"null"`    // fields that are null
	Ragged  int      `json:"ragged"`  // percent of the fields named that are, default 100
	Unknown bool     `json:"unknown"` // fields, enum values and warnings that no document has
	// the identity that answers name for every ACS user that has one: it survived a merge that its own get doesn't show
	ShownIdentity string    `json:"shown_identity"`
	ErrorText     ErrorText `json:"error_text"`  // default plain
	PageSize      int       `json:"page_size"`   // of lists, default 500
	ShortPages    bool      `json:"short_pages"` // pages have any size up to that

	RateLimit      int  `json:"rate_limit"`       // calls a second; 0 is none
	OmitRetryAfter bool `json:"omit_retry_after"` // on 429

	// Hook is called before and after each call's effect, while the caller waits: a test kills processes in it.
	// If it says drop, the connection closes: before the effect there is none.
	Hook func(path string, after bool) (drop bool) `json:"-"`
	// Watch is called with the state after each change. It must not keep it, nor call the simulator.
	Watch func(*State) `json:"-"`
}

// longestLag is how far back reads and writes can see.
func (o *Options) longestLag() time.Duration {
	return max(o.lag(gets), o.lag(lists), o.lag(writes))
}

func (o *Options) lag(kind reading) time.Duration {
	switch kind {
	case gets:
		return max(o.ReadLag, o.GetLag)
	case lists:
		return max(o.ReadLag, o.ListLag)
	default:
		return o.WriteLag
	}
}
