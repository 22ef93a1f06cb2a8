package main

func packageTests(pkg, name, what, tests string, edits ...edit) mutant {
	return mutant{name: name, what: what, edits: edits, pkg: pkg, tests: "^(" + tests + ")$"}
}

// storeMutants are the protections against a Postgres that is silent, locked or of another version, and against
// receivers that don't answer.
var storeMutants = []mutant{
	packageTests("./internal/store", "deadlines of Postgres", "a round trip to Postgres has no deadline",
		"TestSilentPostgres",
		edit{"internal/store/connect.go", "	config.ConnConfig.Tracer = d\n", "	config.ConnConfig.Tracer = nil\n"},
		edit{"internal/store/connect.go", "		Control:         noticeSilence,\n", ""},
		edit{
			"internal/store/connect.go", "	config.ShouldPing, config.PingTimeout = d.alive, d.ping\n",
			"	config.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }\n",
		}),
	packageTests("./internal/store", "trial insert", "readiness doesn't try what accepting a webhook does",
		"TestTryAccepting",
		edit{
			"internal/store/accepting.go", "	batch.Queue(insertWaiting,\n		newEventRows([]Event{trial}).waiting())",
			"	batch.Queue(`SELECT $1::uuid`, trial.EventID)",
		}),
	packageTests("./internal/intake", "fan-out waits",
		"the last stay of a changed listing is passed over while it is locked", "TestFanOutWaitsForTheLastStay",
		edit{
			"internal/store/reservations.go", "		list, err = lock(1, ``)\n",
			"		list, err = lock(1, ` SKIP LOCKED`)\n",
		}),
	packageTests("./migrations", "lock_timeout of migrations",
		"a migration waits for a table's lock, and everybody else queues after it", "TestDuringABackup",
		edit{
			"migrations/migrations.go", "const LockTimeout = 700 * time.Millisecond\n",
			"const LockTimeout = 20 * time.Second\n",
		}),
	packageTests("./internal/notify", "unconfirmed states", "a message without an answer is forgotten",
		"TestALostAnswerIsNotForgotten",
		edit{"internal/notify/report.go", "encode(withPerhaps(perhaps, e.then))", "encode(perhaps)"}),
}
