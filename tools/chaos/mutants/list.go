package main

import "slices"

// mutants are the protections, one taken out of each.
var mutants = append([]mutant{
	{
		name: "mark", what: "the mark of a create is not committed before its call",
		edits: []edit{{
			"internal/provisioner/ledger.go", "	row := rows.ACSUser(u.Row)\n",
			"	row := rows.ACSUser(u.Row)\n	row.MarkedAt = nil\n",
		}},
		pkg: "./internal/provisioner", tests: "^TestACreateWhoseWorkerLosesItsLease$",
	},
	{
		name: "look-up", what: "the result of a lost create is not looked for",
		edits: []edit{
			{
				"internal/provisioner/observe.go",
				"	linked, out := o.finder.find(o.ledger.because(ctx, \"whether a create without an answer made an ACS user\"), u)\n", "	var linked linked\n	out := outcome{}\n",
			},
		},
		pkg: "./internal/provisioner", tests: "^TestLostCreateThenCancel$",
	},
	{
		name: "only way in", what: "an old ACS user is deleted although somebody deleted its replacement",
		edits: []edit{{"internal/provisioner/plan/plan.go", " i != keep && i != left && (", " i != keep && left >= -1 && ("}},
		pkg:   "./internal/provisioner/plan", tests: "^TestOnlyWayIn$",
	},
	{
		name: "revive once", what: "what is gone again after it was restored is restored again for the same request",
		edits: []edit{{"internal/provisioner/plan/plan.go", "	revive = revive && u.MayRevive(d.Generation)\n", ""}},
		pkg:   "./internal/provisioner", tests: "^TestEachRequestRestoresOnce$",
	},
	{
		name: "unkept once per request", what: "a request repairs what Seam doesn't keep each time that it is tried",
		edits: []edit{{
			"internal/provisioner/drift.go",
			"case asked && unkept && once:", "case asked && unkept && (once || !once):",
		}},
		pkg: "./internal/provisioner", tests: "^TestADoorOfANewKeyThatListsLeaveOut$",
	},
	{
		name: "wait for a deleted key", what: "cleanup waits for a key that somebody deleted",
		edits: []edit{{
			"internal/provisioner/remove.go",
			"	if old.IsOut() || u.IsOut() {\n", "	if false {\n",
		}},
		pkg: "./internal/provisioner", tests: "^TestRemovedBeforeTheMoveIsComplete$",
	},
	{
		name: "lost doors", what: "the effect of a lost closing call is not read when the door is wanted again",
		edits: []edit{{"internal/provisioner/observe.go", " || !u.GroupsRead && plan.GroupsFit(d, *u))", ")"}},
		pkg:   "./internal/provisioner", tests: "^TestALostDoorThatIsWantedAgain$",
	},
	{
		name: "read lag", what: "\"not found\" counts at once",
		edits: []edit{{
			"internal/provisioner/observe.go",
			"	if u.LostAt != nil && o.belief.tooEarly(o.belief.countsFrom(*u.LostAt)) {\n", "	if false {\n",
		}},
		pkg: "./internal/provisioner", tests: "^TestReadsThatLag$",
	},
	{
		name: "old answers", what: "an answer is dated by its arrival, not by its request",
		edits: []edit{
			{
				"internal/provisioner/belief.go", "	began   time.Time     // when the attempt that reads began\n",
				"	began   time.Time\n	clock   func() time.Time\n",
			},
			{
				"internal/provisioner/belief.go", "bool { return b.began.Before(until) }",
				"bool { return b.clock().Before(until) }",
			},
			{
				"internal/provisioner/attempt.go", "timeout: p.seam.Timeout(), began: p.now()}",
				"timeout: p.seam.Timeout(), began: p.now(), clock: p.now}",
			},
		},
		pkg: "./internal/provisioner", tests: "^TestASlowAnswerIsAsOldAsItsQuestion$",
	},
	{
		name: "lease condition", what: "any worker may write marks and results",
		edits: []edit{
			{
				"internal/store/key_leases.go", "AND lease_token = $3 FOR NO KEY UPDATE`",
				"AND $3::uuid IS NOT NULL FOR NO KEY UPDATE`",
			},
			{
				"internal/store/key_leases.go",
				"		UPDATE mobile_keys SET lease_until = clock_timestamp() + $4::interval\n		WHERE source = $1 AND reservation_id = $2 AND lease_token = $3`", "		UPDATE mobile_keys SET lease_until = clock_timestamp() + $4::interval\n		WHERE source = $1 AND reservation_id = $2 AND $3::uuid IS NOT NULL`",
			},
			{"internal/store/key_attempts.go", "AND k.lease_token = @token::uuid\n", "AND @token::uuid IS NOT NULL\n"},
		},
		pkg: "./cmd/server", tests: "^TestStalledWorker$",
	},
	{
		name: "lease before a call", what: "a call is made although the lease has expired",
		edits: []edit{
			{
				"internal/provisioner/work.go",
				"	if deadline.After(until) || deadline.Round(0).After(until.Round(0)) {\n",
				"	if _, _ = until, deadline; false {\n",
			},
			{
				"internal/store/lease.go",
				"		if errors.Is(renew(), ErrLeaseLost) {\n			cut()\n			return\n",
				"		if errors.Is(renew(), ErrLeaseLost) {\n			return\n",
			},
		},
		pkg: "./cmd/server", tests: "^TestStalledWorker$",
	},
	{
		name: "row lock", what: "an applier does not lock the reservations that it reads",
		edits: []edit{{
			"internal/store/reservations.go",
			"		ORDER BY source COLLATE \"C\", reservation_id COLLATE \"C\" FOR NO KEY UPDATE`, sources, ids)",
			"		ORDER BY source COLLATE \"C\", reservation_id COLLATE \"C\"`, sources, ids)",
		}},
		pkg: "./internal/intake", tests: "^TestAppliersShareTheWork$", env: []string{"STAYKEY_APPLY_ROUNDS=60"},
	},
	{
		name: "version guard", what: "an older event is applied over a newer one",
		edits: []edit{{
			"internal/intake/fold_reservation.go", "	case r.VersionSeq > 0 && c.isOlder(r):\n",
			"	case false:\n",
		}},
		pkg: "./internal/provisioner", tests: "^TestModel$",
	},
	{
		name: "slot claim", what: "two stays may take the same slot on an access system",
		edits: []edit{
			{
				"internal/store/acs_users.go",
				"			ON CONFLICT (acs_system_id, user_identity_id) DO NOTHING RETURNING id)",
				"			RETURNING id)",
			},
			{
				"internal/store/acs_users.go", "	return holder, wrap(err, \"look for the holder of a slot\")\n",
				"	return Ref{}, ErrNotFound\n",
			},
			{"migrations/00001_init.sql", "    UNIQUE (acs_system_id, user_identity_id),\n", ""},
		},
		pkg: "./internal/provisioner", tests: "^TestTwoStaysOfAGuestAtOnce$",
	},
	{
		name: "commit before answer", what: "202 is sent before the commit",
		edits: []edit{
			{
				"internal/intake/accept.go", "	point.Reach(point.AcceptBefore)\n",
				"	for _, w := range batch {\n		w.result <- result{accepted: store.Accepted{EventID: w.event.EventID}}\n	}\n	point.Reach(point.AcceptBefore)\n",
			},
			{
				"internal/intake/accept.go",
				"			w.result <- result{err: fmt.Errorf(\"%w: %w\", ErrUnavailable, err)}\n",
				"			_ = w\n",
			},
			{"internal/intake/accept.go", "		w.result <- result{accepted: accepted[i]}\n", ""},
		},
		pkg: "./cmd/server", tests: "^(TestKilledAtMarkedPoints|TestPostgresKilled)$",
		env: []string{"STAYKEY_CRASH_POINTS=15", "STAYKEY_POSTGRES_KILLS=6"},
	},
	{
		name: "synchronous_commit", what: "a commit returns before it is on disk",
		edits: []edit{{
			"internal/store/connect.go",
			"set_config('synchronous_commit', 'on', false)\n		WHERE current_setting('synchronous_commit') IN ('off', 'local');", "set_config('synchronous_commit', 'off', false);",
		}},
		pkg: "./cmd/server", tests: "^TestPostgresKilled$", env: []string{"STAYKEY_POSTGRES_KILLS=6"},
	},
	{
		name: "write-ahead of changes",
		what: "a change whose answer was lost is forgotten when something else is desired",
		edits: []edit{
			{"internal/provisioner/observe.go", "	overtaken := o.isOvertaken(d, u)\n", "	overtaken := false\n"},
			{
				"internal/provisioner/record/groups.go", "func (g *Groups) GroupsChanging() { g.GroupsRead = false }\n",
				"func (g *Groups) GroupsChanging() {}\n",
			},
		},
		pkg: "./internal/provisioner", tests: "^(TestLostChangeThenAnother|TestRandomWorld)$",
		env: []string{"STAYKEY_WORLD_ROUNDS=500"},
	},
	{
		name: "look-up after a delete", what: "nothing is looked for after a stay's end although a create was lost",
		edits: []edit{{
			"internal/provisioner/remove.go",
			"		if r.ledger.lostAt != nil { // even long ago: while this one existed, " +
				"nobody looked for another\n" +
				"			r.observed.checked = false\n			r.removed.remember(u)\n			u.LookOnly()\n",
			"		if false {\n",
		}},
		pkg: "./internal/provisioner", tests: "^TestReadsThatLagTooLongThenCancel$",
	},
	{
		name: "doubt about lists", what: "a list that lacks many keys at once is trusted",
		edits: []edit{{
			"internal/provisioner/sweep_compare.go",
			"	if s.missing >= missingLeast && s.missing*missingShare > s.compared {\n", "	if false {\n",
		}},
		pkg: "./internal/provisioner", tests: "^TestSweepHoldsBackWhereManyAreMissing$",
	},
	{
		name: "get and list agree", what: "a get that doesn't find an ACS user counts although the list shows it",
		edits: []edit{{
			"internal/provisioner/look.go",
			"	case entry == nil:\n		return from, absent, outcome{}\n",
			"	case entry == nil || entry.ACSUserID != \"\":\n		return from, absent, outcome{}\n",
		}},
		pkg: "./internal/provisioner", tests: "^TestGetAndListContradict$",
	},
	{
		name: "external deletions are cleaned up",
		what: "an ACS user that somebody deleted is replaced while its object is still at Seam",
		edits: []edit{{
			"internal/provisioner/plan/plan.go",
			"		return append(deleteUser(u, index, reason), makeUser(d, -1, \"\")...)\n",
			"		_ = reason\n		return makeUser(d, -1, \"\")\n",
		}},
		pkg: "./internal/provisioner", tests: "^TestDeletedExternally$",
	},
	{
		name: "refusals restore", what: "a refused create forgets the mark of an earlier, lost one",
		edits: []edit{{
			"internal/provisioner/record/record.go", "		u.Row = *u.undo\n",
			"		u.Row = *u.undo\n		u.MarkedAt, u.LostAt = nil, nil\n",
		}},
		pkg: "./internal/provisioner/record", tests: "^TestRefusedRestores$",
	},
	{
		name: "the wider window", what: "a lost extension counts as never sent",
		edits: []edit{
			{
				"internal/provisioner/record/schedule.go",
				"func (s *Schedule) ScheduleSent(starts, ends time.Time) { s.widen(starts, ends) }\n",
				"func (s *Schedule) ScheduleSent(time.Time, time.Time) {}\n",
			},
			{"internal/provisioner/plan/plan.go", "u.EndsAt.After(d.Ends) || u.Unsure\n", "u.EndsAt.After(d.Ends)\n"},
		},
		pkg: "./internal/provisioner", tests: "^TestLostExtensionOfAStayThatIsOver$",
	},
	{
		name: "doors of the listing", what: "a door is closed because Seam doesn't show its group for a moment",
		edits: []edit{{
			"internal/provisioner/plan/plan.go",
			"!slices.Contains(d.Groups, g) && !slices.Contains(d.Listed, g)", "!slices.Contains(d.Groups, g)",
		}},
		pkg: "./internal/provisioner", tests: "^TestAGroupThatIsNotShownStaysOpen$",
	},
	{
		name: "cleanup is last", what: "cleanup is ordered by check-in, like arrivals",
		edits: []edit{{
			"internal/store/key_leases.go", "CASE WHEN over_at <= $1 THEN $3 ELSE rank_at END",
			"CASE WHEN $3::timestamptz IS NULL THEN $3 ELSE rank_at END",
		}},
		pkg: "./internal/provisioner", tests: "^TestArrivalsComeBeforeCleanup$",
	},
	{
		name: "later guests' share", what: "urgent attempts use up the workers that keys of later guests keep",
		edits: []edit{{
			"internal/provisioner/controller.go", "p.claims(free, int(busy.later.Load()))",
			"p.claims(free, int(busy.all.Load()))",
		}},
		pkg: "./internal/provisioner", tests: "^TestHangingUrgentAttemptsLeaveLaterGuestsTheirShare$",
	},
	{
		name: "keys that outlast a stay", what: "the key of a stay that was cut short is cleanup while it lasts",
		edits: []edit{{
			"internal/provisioner/verdict.go", "u.EndsAt != nil && u.EndsAt.After(over) {",
			"u.EndsAt != nil && false {",
		}},
		pkg: "./internal/provisioner", tests: "^TestAKeyThatOutlastsItsStayIsNotCleanup$",
	},
	{
		name: "no-shows are last", what: "cancelled stays are ordered by check-in, like arrivals",
		edits: []edit{{
			"internal/intake/stay.go", "w.Interim, w.RankAt = stay.KeyRevoking, cleanupRank(r.CheckIn, now)",
			"w.Interim, _ = stay.KeyRevoking, cleanupRank(r.CheckIn, now)",
		}},
		pkg: "./internal/provisioner", tests: "^TestArrivalsComeBeforeNoShows$",
	},
	{
		name: "whose identity", what: "a known identity is used without checking whose it is now",
		edits: []edit{{
			"internal/provisioner/identity.go",
			"	case is.EmailAddress != \"\" && !sameAddress(is.EmailAddress, d.Email):\n", "	case false:\n",
		}},
		pkg: "./internal/provisioner", tests: "^TestAnIdentityThatBecameSomebodyElses$",
	},
	{
		name: "erasing keeps away", what: "a stay takes an identity that is being erased",
		edits: []edit{{
			"internal/store/acs_users.go", "staykey_require(NOT (SELECT erasing FROM identity), ",
			"staykey_require(true OR (SELECT erasing FROM identity), ",
		}},
		pkg: "./internal/provisioner", tests: "^TestErasingWhileTheGuestBooksAgain$",
	},
	{
		name: "relays' addresses", what: "a key that waits for an address isn't asked for again when a relay's arrives",
		edits: []edit{{
			"internal/intake/stay.go", "		(stay.Text(a.GuestEmail) == \"\") != (stay.Text(b.GuestEmail) == \"\") ||\n", "",
		}},
		pkg: "./internal/provisioner", tests: "^TestARelaysAddressEndsTheWait$",
	},
	{
		name: "pages in one order", what: "keys are flagged in pages of one order and continued in another",
		edits: []edit{{
			"internal/store/check_keys.go", "				ORDER BY source, reservation_id LIMIT @most),\n",
			"				ORDER BY source COLLATE \"C\", reservation_id COLLATE \"C\" LIMIT @most),\n",
		}},
		pkg: "./internal/store", tests: "^TestKeysAreFlaggedInAnyCollation$",
	},
	{
		name: "marks of deleted identities", what: "an identity that Seam doesn't know refuses the look-up of a lost create",
		edits: []edit{{
			"internal/provisioner/look.go", "	if gone, out = f.identities.isGone(ctx, u); !gone && !out.stops() {\n",
			"	if !gone {\n",
		}},
		pkg: "./internal/provisioner", tests: "^TestMarkOfADeletedIdentity$",
	},
	{
		name: "without the directory", what: "a stay whose access system is recorded waits for the access groups to be read",
		edits: []edit{{
			"internal/provisioner/demand.go", "	if err != nil && (d.SystemID == \"\" || ",
			"	if err != nil && (d.SystemID != \"never\" || ",
		}},
		pkg: "./internal/provisioner", tests: "^TestExtensionWithoutTheDirectory$",
	},
	{
		name: "pending for months", what: "what Seam has pending is asked about as often, however far away the guest is",
		edits: []edit{{
			"internal/provisioner/retry.go", "		return min(max(since/2, settleFirst), p.patience(askWhileNear)), true\n",
			"		return min(max(since/2, settleFirst), askWhileNear), true\n",
		}},
		pkg: "./internal/provisioner", tests: "^TestPendingForMonths$",
	},
	{
		name: "errors for months", what: "an error is asked about as often, however far away the guest is",
		edits: []edit{{
			"internal/provisioner/retry.go",
			"		return min(max(p.inTrouble()/2, askForProblems), p.patience(askForProblems)), true\n",
			"		return min(max(p.inTrouble()/2, askForProblems), askForProblems), true\n",
		}},
		pkg: "./internal/provisioner", tests: "^TestAnErrorForMonths$",
	},
	{
		name: "all that is due", what: "what is due is queued in pages, with guests who arrive soon on later ones",
		edits: []edit{{
			"internal/provisioner/controller.go", "		if err != nil || n < store.QueueAtMost {\n",
			"		if err != nil || n <= store.QueueAtMost {\n",
		}},
		pkg: "./internal/provisioner", tests: "^TestNearTimerOvertakesOlderOnes$",
	},
	{
		name: "one endpoint's 401", what: "a 401 from one endpoint pauses everything, although Seam accepts the key elsewhere",
		edits: []edit{{
			"internal/provisioner/admission.go", "!= seam.Unauthorized || d.keyConfirmed() {", "!= seam.Unauthorized {",
		}},
		pkg: "./internal/provisioner", tests: "^TestOneEndpointRefusesTheKey$",
	},
	{
		name: "addresses in escapes", what: "an erasure reads JSON as text, without its escapes",
		edits: []edit{
			{"internal/pms/mentions.go", "	if json.Valid(content) {\n", "	if json.Valid(content) && false {\n"},
			{"internal/pms/mentions.go", " && json.Valid([]byte(s)) && ", " && json.Valid(nil) && "},
		},
		pkg: "./internal/provisioner", tests: "^TestEraseGuestInEveryEncoding$",
	},
	{
		name: "lost erasures", what: "an identity is free at once although the delete of an erasure was lost",
		edits: []edit{{"internal/provisioner/erase.go", "	if done.lost {", "	if done.lost && false {"}},
		pkg:   "./internal/provisioner", tests: "^TestBookedAfterALostErasure$",
	},
	{
		name: "late deletes", what: "a lost delete that takes effect late counts as somebody's",
		edits: []edit{{"internal/provisioner/plan/plan.go", "		if u.DeletedLate() {\n", "		if false {\n"}},
		pkg:   "./internal/provisioner", tests: "^TestADeleteThatTakesEffectLate$",
	},
	{
		name: "a hold holds", what: "a removal continues although an admin holds the stay",
		edits: []edit{{
			"internal/provisioner/attempt.go", "	if held := a.work.Overrides.Held(); held != \"\" {\n",
			"	if held := a.work.Overrides.Held(); held != \"\" && len(plan.Plan(d, a.users.rows, false)) > 0 {\n",
		}},
		pkg: "./internal/provisioner", tests: "^TestHoldDuringARemoval$",
	},
	{
		name: "the pinned workspace", what: "a workspace that can't be confirmed counts as the pinned one",
		edits: []edit{{
			"internal/provisioner/admission.go", "	case err != nil && pinned != \"\":\n",
			"	case err != nil && pinned == \"never\":\n",
		}},
		pkg: "./internal/provisioner", tests: "^TestAWorkspaceThatCantBeConfirmedPauses$",
	},
}, slices.Concat(seamMutants, refusedMutants, gateMutants, storeMutants, guestMutants, writeBackMutants,
	wantedMutants)...)
