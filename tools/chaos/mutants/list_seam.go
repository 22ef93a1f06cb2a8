package main

// provisionerTests runs some of the provisioner's tests.
func provisionerTests(name, what, tests string, edits ...edit) mutant {
	return mutant{name: name, what: what, edits: edits, pkg: "./internal/provisioner", tests: "^(" + tests + ")$"}
}

func seamTests(name, what, tests string, edits ...edit) mutant {
	return mutant{name: name, what: what, edits: edits, pkg: "./internal/seam", tests: "^(" + tests + ")$"}
}

// seamMutants are the protections against answers that Seam may give, or not give.
var seamMutants = []mutant{
	provisionerTests("system's errors", "any error of an access system explains a refusal",
		"TestFullSiteDoesNotHideWhyACreateIsRefused",
		edit{
			"internal/provisioner/create.go", "	if code := system.Disconnected(); code != \"\" {\n",
			"	for _, e := range system.Errors {\n		code := e.ErrorCode\n",
		}),
	provisionerTests("refused steps", "one refused step stops those after it", "TestARefusedStepStarvesNothing",
		edit{
			"internal/provisioner/attempt.go", "		if out.kind == refused && !endsWith(s) {\n",
			"		if false {\n",
		}),
	provisionerTests("stuck deletion", "a deletion that hangs is waited for even if the guest needs a key",
		"TestAStuckDeletionLocksNobodyOut",
		edit{"internal/provisioner/retry.go", "	return p.now().Before(until)\n", "	return true\n"}),
	provisionerTests("loss and look-ups", "a crash forgets that a create was lost", "TestLookUpsSurviveACrash",
		edit{
			"internal/store/key_leases.go", "	if lostAt != nil {\n		b.Queue(",
			"	if false {\n		b.Queue(",
		}),
	provisionerTests("texts", "texts from Seam are stored unchanged", "TestErrorTextsOfAllKinds",
		edit{
			"internal/store/text.go",
			"	s = strings.ToValidUTF8(strings.ReplaceAll(s, \"\\x00\", \"\"), \"\\uFFFD\")\n	if len(s) <= maxStored {\n", "	if strings.HasPrefix(s, \"\") {\n",
		},
		edit{
			"internal/seam/text.go",
			"	return strings.ReplaceAll(strings.ToValidUTF8(s, \"\\uFFFD\"), \"\\x00\", \"\\uFFFD\")\n",
			"	return s\n",
		},
		edit{
			"internal/seam/answer.go", "json.Unmarshal(withoutNUL(answer), &fields)",
			"json.Unmarshal(answer, &fields)",
		}),
	provisionerTests("merged identities", "an ACS user of a merged identity counts as unlinked", "TestMergedIdentity",
		edit{"internal/provisioner/check.go", "	u.ReadLink(merged)\n", "	u.ReadLink(false)\n	_ = merged\n"}),
	provisionerTests("doors open", "a door closes although Seam refuses the new one", "TestARefusedDoorLocksNobodyOut",
		edit{
			"internal/provisioner/refusals.go", " ||\n			s.Kind == plan.RemoveGroup && x.step.Kind == plan.AddGroup\n",
			"\n",
		}),
	provisionerTests("missing fields", "an ACS user without a name in the answer is somebody else's",
		"TestOptionalFieldsThatAreMissing",
		edit{
			"internal/provisioner/whose.go", "	nameless := made.FullName == \"\" || mayBeStoredAs(made.FullName, fullName)\n	switch {\n",
			"	nameless := made.FullName == \"\" || mayBeStoredAs(made.FullName, fullName)\n	switch {\n	case nameless:\n		return true\n",
		}),
	provisionerTests("a claimed slot", "the identity of a slot is used without checking whose it is now",
		"TestAClaimedSlotThatBecameSomebodyElses",
		edit{
			"internal/provisioner/create.go",
			"	if out := c.slots.verify(ctx, d, i); out.stops() {\n		return out\n	}\n", "",
		}),
	provisionerTests("an identity not found", "one 404 on an identity lets the create, or the link, find out whose it is",
		"TestAWrongNotFoundOnAnIdentityThatIsGivenAway|TestAWrongNotFoundOnTheIdentityToLinkTo",
		edit{
			"internal/provisioner/identity_change.go", "	if seam.KindOf(notFound) != seam.NotFound {\n",
			"	if notFound != nil || is.UserIdentityID != \"\" {\n",
		}),
	provisionerTests("keys of a returned user", "an ACS user that a create returned can't have a key yet",
		"TestACreateThatReturnsTheEarlierUser",
		edit{"internal/provisioner/create.go", "	if canHaveKey {\n", "	if false && canHaveKey {\n"}),
	provisionerTests("returned users", "an ACS user that existed before the create has what the create asked for",
		"TestAReturnedUserIsComparedFirst",
		edit{
			"internal/provisioner/create.go", "		if c.belief.existedBefore(made, u) {\n",
			"		if false {\n",
		}),
	provisionerTests("due at once", "a stay for which nothing can be done is looked at without end",
		"TestAHeldStayIsLeftAlone",
		edit{"internal/provisioner/verdict.go", "		if !at.After(e.now) {\n", "		if false {\n"},
		edit{"internal/provisioner/verdict.go", "		due)\n	e.noteComparison(&v)\n", "		due)\n"},
		edit{
			"internal/provisioner/verdict.go",
			"	if v.Next != nil && v.Next.Before(soonest) && e.changes == 0 && out.kind != stale {\n",
			"	if false {\n",
		}),
	provisionerTests("nameless users", "an ACS user without a name is ours if nothing contradicts it",
		"TestAWalkInIsNeitherDeletedNorTaken",
		edit{
			"internal/provisioner/whose.go", ", !b.cameOfCreates(listed, u):\n", ":\n",
		},
		edit{
			"internal/provisioner/whose.go", "		return u.AwaitsCreate()\n",
			"		return true\n",
		}),
	provisionerTests("nameless surplus", "an ACS user without name and hours is deleted as a second one of the stay",
		"TestAWalkInRightAfterALostCreate",
		edit{
			"internal/provisioner/whose.go",
			" || listed.FullName == \"\" && !record.HasSchedule(listed) {\n", " {\n",
		}),
	provisionerTests("names that are stored otherwise", "an answer with another name is somebody else's",
		"TestNamesThatAreStoredOtherwise",
		edit{
			"internal/provisioner/whose.go", "	case !nameless && made.UserIdentityID != \"\" && made.UserIdentityID != u.UserIdentityID:\n",
			"	case made.FullName != \"\":\n",
		}),
	provisionerTests("names of lost creates", "a lost create is only recognized by the name that was sent",
		"TestNamesThatAreStoredOtherwise",
		edit{
			"internal/provisioner/whose.go", "	return stored != \"\" && strings.HasPrefix(name, stored)\n",
			"	return stored != \"\" && stored == name && false\n",
		}),
	provisionerTests("clocks far apart", "Seam's clock differs from ours by a minute at most", "TestAClockUnlikeOurs",
		edit{
			"internal/provisioner/whose.go", "	clocksFarApart = 10 * time.Minute\n",
			"	clocksFarApart = time.Minute\n",
		}),
	provisionerTests("answers of others", "the stay tries every identity of its own while answers are somebody else's",
		"TestAnswersThatAreSomebodyElses",
		edit{"internal/provisioner/slot.go", "	if len(there) < answeredWithOthers {\n", "	if true {\n"}),
	provisionerTests("answers named once", "an ACS user that a create was answered with is forgotten with its slot",
		"TestAnAnswerThatTurnsOutToBeOurs|TestAnswersThatAreSomebodyElses",
		edit{
			"internal/provisioner/create.go", "	u.CreateLost(c.now())\n	u.NameOther(made.ACSUserID)\n",
			"	u.Refused()\n",
		}),
	provisionerTests("others with our name", "anybody's ACS user with the reservation's number is deleted as a second one",
		"TestSomebodyElsesUserWithOurName",
		edit{
			"internal/provisioner/whose.go", " && (ended == nil || created.Before(ended.Add(lastLookup+clocks)))\n",
			" && (ended == nil || !ended.IsZero())\n",
		}),
	provisionerTests("others in a sweep", "a sweep finds the same ACS user of others each time",
		"TestSomebodyElsesUserWithOurName",
		edit{"internal/provisioner/sweep_compare.go", "> 1+row.Others\n", "> 1\n"}),
	{
		name: "the mark of a row that only looks", what: "a create keeps the mark of an ACS user that is gone",
		edits: []edit{{
			"internal/provisioner/record/record.go", "	if u.MarkedAt == nil || u.onlyLooks() {\n",
			"	if u.MarkedAt == nil {\n",
		}},
		pkg: "./internal/provisioner/record", tests: "^TestMarkAfterLookOnly$",
	},
	provisionerTests("deletes need no comparison",
		"after a delete without effect the ACS user is compared before it is deleted again",
		"TestADeleteNeedsNoComparison",
		edit{
			"internal/provisioner/remove.go",
			"	if unwanted {\n		u.DeletedInVain()\n	} else if out := r.checker.check(ctx, d, u); out.stops() {\n",
			"	_ = unwanted\n	u.DeletedInVain()\n	if out := r.checker.check(ctx, d, u); out.stops() {\n",
		}),
	provisionerTests("look-ups that fail", "a look-up that fails stops everything else of the stay",
		"TestALookUpThatFailsKeepsNothingElse",
		edit{
			"internal/provisioner/observe.go", "		if out.stops() && !o.leaveUnsettled(d, i, out) {\n",
			"		if out.stops() {\n",
		}),
	provisionerTests("links that are not listed", "an ACS user that is listed without its identity differs",
		"TestSweepWithoutListedLinks",
		edit{
			"internal/provisioner/sweep_compare.go",
			"	if d.identity == 0 && !row.Drifted && s.fewAreLinked() {", "	if false {",
		}),
	provisionerTests("one list of links", "an identity is deleted because one list shows nothing that is linked to it",
		"TestAnIdentityIsNotDeletedByOneList",
		edit{
			"internal/provisioner/identity_remove.go", "	for _, id := range identity.ACSUserIDs {\n",
			"	for _, id := range identity.ACSUserIDs[:0] {\n",
		}),
	provisionerTests("identities given away", "nobody checks whose e-mail address the identity of a key has now",
		"TestAnIdentityThatIsGivenAwayLater",
		edit{
			"internal/provisioner/sweep_compare.go",
			"	return row.IsGuests && listed && owner != s.hash(row.UserIdentityKey)\n",
			"	return row.IsGuests && listed && owner == 0\n",
		}),
	provisionerTests("addresses", "addresses that only fold to the same text count as equal",
		"TestAddressesThatOnlyFoldToTheSame",
		edit{
			"internal/provisioner/identity.go",
			"	return strings.ToLower(a) == strings.ToLower(b) && strings.ToUpper(a) == strings.ToUpper(b)\n",
			"	return strings.EqualFold(a, b)\n",
		}),
	provisionerTests("subscriptions", "the old key of a guest in the house is removed before the new one opens a door",
		"TestNobodyInTheHouseWaitsForASubscription",
		edit{
			"internal/provisioner/remove.go", "	return !now.Before(d.Starts) && old.Exists()",
			"	return now.IsZero() && old.Exists()",
		}),
	provisionerTests("links that move", "the result of a lost create is only looked for by its identity",
		"TestReadsThatLagTooLongAndLinksThatMove|TestLinksThatMoveThenCancel",
		edit{
			"internal/provisioner/look.go", "	if f.ledger.lostAt == nil || u.MarkedAt == nil || f.belief.tooEarly(",
			"	if !f.belief.began.IsZero() || f.ledger.lostAt == nil || u.MarkedAt == nil || f.belief.tooEarly(",
		}),
	seamTests("probes", "a long pause that Seam asks for is kept even if a guest waits", "TestUrgentCallsProbe",
		edit{"internal/seam/limiter.go", "	if isUrgent(ctx) && l.mayProbe() {\n", "	if false {\n"}),
	provisionerTests("former guests",
		"only the present guest's identity is asked whose it is before it is linked again",
		"TestAnUnlinkedUserOfAFormerGuest",
		edit{
			"internal/provisioner/check.go", "!u.HasGuestsIdentity() || !u.Unlinked && !wanted {",
			"u.UserIdentityKey != d.GuestKey || !u.Unlinked && !wanted {",
		}),
	provisionerTests("former guests' addresses", "an address that only folds to a former guest's is that guest's",
		"TestAnUnlinkedUserOfAFormerGuest",
		edit{
			"internal/provisioner/identity.go",
			"	return guest != \"\" && r.keys.guest(guest) == key && sameAddress(address, guest)\n",
			"	return guest != \"\" && r.keys.guest(guest) == key\n",
		}),
	provisionerTests("rows that only look", "a row that only looks for a lost create is a place for another ACS user",
		"TestRowsThatOnlyLookLeadToNoSecondUser",
		edit{
			"internal/provisioner/plan/plan.go", "		case u.Exists():\n			return i\n",
			"		case u.Exists() || second < 0 && d.Create:\n			return i\n",
		},
		edit{
			"internal/provisioner/remove.go",
			"			if i := r.users.standing(d); i >= 0 && r.users.rows[i].ACSUserID != nil {\n",
			"			if i := r.users.standing(d); i > len(r.users.rows) {\n",
		}),
	provisionerTests("uncertain deletes",
		"a place that is free doesn't wait for another delete whose effect is unknown",
		"TestAFreePlaceWaitsForAnUncertainDelete",
		edit{
			"internal/provisioner/attempt.go",
			"(a.users.rows[i].ACSUserID != nil || a.slots.claimed[a.users.rows[i].ID]) {",
			"a.users.rows[i].ID != 0 {",
		}),
	provisionerTests("deletes asked about too early",
		"an ACS user is created while the delete of another may have had no effect, because the guest can't wait",
		"TestASlowLookAtAnUncertainDelete",
		edit{
			"internal/provisioner/attempt.go", "		return (u.Leaving || !plan.Fits(d, *u)) &&", "		return",
		}),
	provisionerTests("agreements", "one agreement of get and list shows that an uncertain delete took effect",
		"TestADeleteThatWasNotFoundIsNoEvidence|TestALostDeleteNeedsTwoAgreements",
		edit{"internal/provisioner/remove.go", "	if !r.belief.tooEarly(until) {\n", "	if !until.IsZero() {\n"}),
	provisionerTests("surplus users", "a second ACS user whose delete Seam accepted counts as gone",
		"TestASurplusUserThatSaltoKeeps",
		edit{
			"internal/provisioner/change.go",
			"func() { u.SurplusDeleted(body.ACSUserID, c.now()) }", "func() { u.DropSurplus(body.ACSUserID) }",
		}),
	provisionerTests("deletes in vain",
		"a delete that Seam accepted counts as certain although the access system has refused it",
		"TestADeleteThatSaltoRefusedIsNoEvidence",
		edit{
			"internal/provisioner/record/record.go", "u.MissingAt == nil && u.Unkept == 0 }", "u.MissingAt == nil }",
		},
		edit{
			"internal/provisioner/record/record.go", "	case refused || u.MissingAt != nil:\n",
			"	case u.MissingAt != nil:\n",
		}),
	provisionerTests("keys that were not found", "a 404 on the delete of a mobile key shows that it is gone",
		"TestAKeyThatWasNotFoundIsNotForgotten",
		edit{
			"internal/provisioner/change.go", "	switch {\n	case err == nil:\n		u.ChangeKnown(c.now())\n",
			"	if s.Kind == plan.ReplaceKey && seam.KindOf(err) == seam.NotFound {\n		err = nil\n	}\n" +
				"	switch {\n	case err == nil:\n		u.ChangeKnown(c.now())\n",
		}),
	provisionerTests("identities that were not found", "one 404 shows that a user identity is gone",
		"TestAnIdentityThatWasNotFoundIsNotForgotten",
		edit{
			"internal/provisioner/identity_change.go", "	case seam.KindOf(err) == seam.NotFound:\n		return true,",
			"	case true || err != nil:\n		return true,",
		}),
	provisionerTests("slots during a look-up",
		"a slot is used while the result of a lost create in another one can't be looked for",
		"TestAFreePlaceWaitsForALookUp",
		edit{
			"internal/provisioner/attempt.go", "		if out, open := a.observed.unsettled[u.ID]; open {\n",
			"		if out, open := a.observed.unsettled[u.ID]; open && i < 0 {\n",
		}),
	seamTests("silent connections", "calls continue to use a connection that doesn't answer",
		"TestSilentConnection|TestManyCallsOnASilentConnection",
		edit{"internal/seam/transport.go", "		c.current = c.open()\n", "		_ = c.open\n"},
		edit{
			"internal/seam/transport.go", "		SendPingTimeout:  min(timeout*3/8, 3*time.Second), // of silence\n",
			"",
		}),
	seamTests("endless lists", "a repeated cursor is followed", "TestCursorsInACircle",
		edit{
			"internal/seam/page.go", "		if seen[p.cursor] || len(seen) >= maxPages {\n",
			"		if len(seen) >= maxPages {\n",
		}),
	seamTests("half lists", "a list that continues without a cursor is complete", "TestListsThatAreNotComplete",
		edit{
			"internal/seam/page.go",
			"		p.broken = \"the list has another page, and the answer has no cursor to it\"\n", "",
		}),
	seamTests("null", "null counts as an object without fields, and as an empty list", "TestListsThatAreNotComplete",
		edit{
			"internal/seam/answer.go", "	if len(value) == 0 || string(value) == \"null\" {\n",
			"	if len(value) == 0 {\n",
		}),
	seamTests("Retry-After", "a pause of any length is kept", "TestRetryAfterIsBounded",
		edit{
			"internal/seam/answer.go",
			"		return time.Duration(min(seconds, longestRetryAfter.Seconds()) * float64(time.Second))\n",
			"		return min(time.Duration(seconds*float64(time.Second)), longestRetryAfter)\n",
		}),
	seamTests("redaction", "a text is cut before it is redacted", "TestRedact|TestRedactAnything",
		edit{
			"internal/seam/text.go", "	s = address.ReplaceAllString(storable(s), \"[e-mail]\")\n",
			"	s = address.ReplaceAllString(storable(cut(s, most)), \"[e-mail]\")\n",
		}),
}
