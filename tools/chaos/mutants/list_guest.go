package main

func guestTests(name, what, tests string, edits ...edit) mutant {
	return mutant{
		name: name, what: what, edits: edits, pkg: "./internal/guest", tests: "^(" + tests + ")$",
		env: []string{"STAYKEY_GUEST_DEATHS=400"},
	}
}

func notifyTests(name, what, tests string, edits ...edit) mutant {
	return mutant{
		name: name, what: what, edits: edits, pkg: "./internal/notify", tests: "^(" + tests + ")$",
		env: []string{"STAYKEY_DELIVERY_DEATHS=1200"},
	}
}

// guestMutants are the protections of what guests and subscribers receive.
var guestMutants = []mutant{
	guestTests("guest: mark", "an instant key is not marked before its call", "TestALostCreate",
		edit{
			"internal/guest/open.go", "		return store.MarkHandedOut(ctx, tx, o.ref, &h, o.lookAt(h))\n",
			"		return nil\n",
		}),
	guestTests("guest: search", "what a lost call left at Seam is not looked for", "TestALostCreate",
		edit{
			"internal/guest/cleaner_search.go",
			"		if at := c.nextLook(h); !at.IsZero() && !now.Before(at) && !slices.Contains(identities, h.IdentityID) {\n", "		if at := c.nextLook(h); false && !at.IsZero() && !now.Before(at) && !slices.Contains(identities, h.IdentityID) {\n",
		}),
	guestTests("guest: the key's end", "what was handed out is not looked at when its key changes",
		"TestEveryEndOfAKey",
		edit{
			"migrations/00030_guest_links.sql", "    UPDATE guest_stays SET due_at = 'epoch', changes = changes + 1\n",
			"    UPDATE guest_stays SET changes = changes + 1\n",
		}),
	guestTests("guest: whose link", "a link works for another guest of its stay", "TestLinksThatAreNoGood",
		edit{
			"internal/guest/link.go",
			"	return state.Counter == counter && (guest == \"\" || state.LinkGuest == \"\" || state.LinkGuest == guest)\n", "	_ = guest\n	return state.Counter == counter\n",
		}),
	guestTests("guest: link gates", "a link gives the key although a gate withholds it", "TestAGateHoldsTheLink",
		edit{"internal/guest/page.go", "	case len(state.ClosedGates) > 0:\n", "	case false:\n"}),
	guestTests("guest: sessions of keys", "an app gets the session of an instant key that is deleted next",
		"TestAnAppsSessionOfAnInstantKey",
		edit{
			"internal/guest/session.go", "		if refused == nil && a.endsWithAKey(has, h, got) {\n",
			"		if false && a.endsWithAKey(has, h, got) {\n",
		}),
	guestTests("guest: limit", "a link gives a key any number of times", "TestTheLimitOfALink",
		edit{"internal/guest/page.go", "	if len(recent) < OpeningsAnHour {\n", "	if len(recent) >= 0 {\n"}),
	guestTests("guest: expiry", "an instant key is handed out again until the moment that it expires, and after it",
		"TestAnExpiredInstantKeyIsReplaced",
		edit{
			"internal/guest/page.go", " && h.ExpiresAt != nil && h.ExpiresAt.After(now.Add(spare)) {",
			" && (h.ExpiresAt != nil || now.IsZero()) && spare > 0 {",
		}),
	notifyTests("messages: unconfirmed", "a message without an answer counts as one that never arrived",
		"TestDeliveryEnds|TestNothingIsLostWhateverDiesWhen|TestALostAnswerIsNotForgotten",
		edit{
			"internal/notify/uncertain.go", "	if len(perhaps) == 0 {\n", "	if len(perhaps) < 1000 {\n",
		}),
	notifyTests("messages: unconfirmed doors", "what may have arrived about doors is forgotten after another message",
		"TestDeliveryEnds",
		edit{"internal/notify/uncertain.go", "		far.Risk = riskUnknown\n", "		_ = riskUnknown\n"}),
	notifyTests("messages: numbers", "messages have the stay's number, whatever the last one's is",
		"TestNothingIsLostWhateverDiesWhen",
		edit{
			"internal/notify/uncertain.go", "	return max(last+1, p.Sequence-after(e.then, p))\n",
			"	_ = last\n	return p.Sequence - after(e.then, p)\n",
		}),
	notifyTests("messages: one id, one body", "a message that is sent again has the newest body under its old id",
		"TestRetriesCarryTheNewestState|TestNothingIsLostWhateverDiesWhen",
		edit{
			"internal/notify/report.go", " && bytes.Equal(waits.Body,\n		body(e, p, url, waits.Sequence)) {",
			" && bytes.Equal(waits.Body[:1],\n		body(e, p, url, waits.Sequence)[:1]) {",
		}),
	notifyTests("messages: more to tell", "a second message about one change waits for the next change",
		"TestNothingIsLostWhateverDiesWhen",
		edit{
			"internal/store/delivery_attempts.go", " AND NOT @more::boolean\n",
			" AND (@more::boolean IS NOT NULL)\n",
		}),
	notifyTests("messages: the lease", "a result counts although another worker has taken the message over",
		"TestALostLeaseChangesNothing",
		edit{
			"internal/store/delivery_attempts.go", "AND lease_token = $4 FOR NO KEY UPDATE`",
			"AND $4::uuid IS NOT NULL FOR NO KEY UPDATE`",
		}),
	notifyTests("messages: redirects", "a redirect is followed", "TestReceiversThatDontTakeIt",
		edit{
			"internal/notify/dispatch.go",
			"			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },\n", "",
		}),
	notifyTests("messages: private addresses", "a receiver may be inside the network",
		"TestReceiversThatDontTakeIt",
		edit{"internal/notify/address.go", "	if err != nil || !public(ip) {\n", "	if err != nil || !public(ip) && false {\n"}),
	notifyTests("messages: every secret", "a message is signed with the newest secret only", "TestEverySecretSigns",
		edit{
			"internal/notify/dispatch.go", "	for i, secret := range secrets {\n",
			"	for i, secret := range secrets[:1] {\n",
		}),
	notifyTests("messages: no guest data", "a message says what an admin wrote about a key", "TestBodyHasNoGuestData",
		edit{
			"internal/notify/body.go", "		Reason: p.Reason, AccessGroupIDs: append(",
			"		Reason: p.Message, AccessGroupIDs: append(",
		}),
	{
		name: "guest: a hold", what: "what was handed out is taken back although an admin holds the stay",
		edits: []edit{
			{"internal/guest/cleaner.go", "	if !c.held {\n", "	if true {\n"},
			{"internal/guest/cleaner.go", "	if c.held {\n		return errOnHold\n", "	if false {\n		return errOnHold\n"},
		},
		pkg: "./internal/guest", tests: "^TestNothingIsTakenBackOnHold$",
	},
	{
		name: "guest: links on hold", what: "a link gives the key although an admin holds the stay",
		edits: []edit{{"internal/guest/page.go", "	case state.OnHold:\n", "	case false:\n"}},
		pkg:   "./internal/guest", tests: "^TestNothingIsHandedOutOnHold$",
	},
	{
		name: "guest: wrong 404s", what: "a 404 on a delete, and one on a list, show that a session is gone",
		edits: []edit{
			{
				"internal/guest/cleaner_search.go", "	case err == nil:\n		return fmt.Errorf(",
				"	case err == nil && identity == \"\":\n		return fmt.Errorf(",
			},
			{"internal/guest/cleaner.go", "	return 2\n}\n", "	return 1\n}\n"},
		},
		pkg: "./internal/guest", tests: "^TestWrongNotFoundsLoseNothing$",
	},
	{
		name: "guest: looking", what: "a link's preview creates an instant key",
		edits: []edit{{"internal/handlers/guest/guest.go", "	r.Get(guest.Route, h.show)\n", "	r.Get(guest.Route, h.open)\n"}},
		pkg:   "./cmd/server", tests: "^TestGuestLink$",
	},
	{
		name: "guest: stalled requests", what: "who announces a body and doesn't send it keeps a turn",
		edits: []edit{{
			"internal/handlers/guest/guest.go", "bodyFirst, h.Limits.OneOfFew)\n", "h.Limits.OneOfFew, bodyFirst)\n",
		}},
		pkg: "./internal/handlers/guest", tests: "^TestStalledRequestsHoldNoTurn$",
	},
}
