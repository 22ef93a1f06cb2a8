package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/testcontainers/testcontainers-go"
	container "github.com/testcontainers/testcontainers-go/modules/postgres"

	"github.com/staykey/staykey/internal/localpg"
	"github.com/staykey/staykey/internal/localpg/pgtest"
)

// image is what runs in Docker; the image that docker-compose.yml uses, so that one pull serves both.
const image = "postgres:18-alpine"

// settings are those of a server on which thousands of databases live for a second, up to 64 at a time. Most of what a
// test costs is planning, on connections that are new: a statement is planned once per connection, not again for each
// of its first five uses. With cores as busy as tests keep them, a parallel worker costs its start and gains nothing.
// PL/pgSQL, in which triggers are written, is loaded once, not by each connection.
var settings = []string{
	"autovacuum=off", "max_connections=600", "plan_cache_mode=force_generic_plan",
	"max_parallel_workers_per_gather=0", "shared_preload_libraries=plpgsql",
}

// start returns the DSN of a database of a superuser, and what stops the server. It tries, in this order,
// TEST_DATABASE_URL, Docker, binaries on the machine, downloaded ones, and, as root on Debian and Ubuntu, the
// distribution's package. report is given one line on where it comes from.
func start(ctx context.Context, report func(string)) (dsn string, stop func(), err error) {
	if dsn := os.Getenv(pgtest.Variable); dsn != "" {
		return dsn, func() {}, nil
	}
	dsn, stop, dockerErr := startDocker(ctx)
	if dockerErr == nil {
		report("Postgres for tests: Docker, " + image)
		return dsn, stop, nil
	}
	server, err := localpg.Start(ctx, localpg.Options{
		Throwaway: true, Log: report, Settings: settings,
	})
	if err != nil {
		return "", nil, fmt.Errorf("tests need a Postgres.\n  TEST_DATABASE_URL: not set\n  Docker: %w\n%w", dockerErr,
			err)
	}
	report(fmt.Sprintf("Postgres for tests: binaries of this machine (Docker: %v)", dockerErr))
	return server.DSN(), func() { _ = server.Stop() }, nil
}

// startDocker runs the image. It gives up at once where no engine answers, and in a minute where the image
// isn't available.
func startDocker(ctx context.Context) (dsn string, stop func(), err error) {
	defer func() { // testcontainers-go panics where it finds no way to an engine
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()

	provider, err := testcontainers.NewDockerProvider()
	if err != nil {
		return "", nil, fmt.Errorf("no engine: %w", err)
	}
	defer func() { _ = provider.Close() }()

	probe, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if err := provider.Health(probe); err != nil {
		return "", nil, fmt.Errorf("no engine answers: %w", err)
	}

	ctx, cancelStart := context.WithTimeout(ctx, 90*time.Second)
	defer cancelStart()

	command := []string{"postgres", "-c", "fsync=off", "-c", "full_page_writes=off"}
	for _, s := range settings {
		command = append(command, "-c", s)
	}

	c, err := container.Run(ctx, image,
		container.WithDatabase("staykey"), container.WithUsername("staykey"), container.WithPassword("staykey"),
		container.BasicWaitStrategies(),
		testcontainers.WithCmd(command...))
	if err != nil {
		return "", nil, err
	}

	stop = func() { _ = testcontainers.TerminateContainer(c) }
	dsn, err = c.ConnectionString(ctx, "sslmode=disable")
	if err != nil {
		stop()
		return "", nil, err
	}
	return dsn, stop, nil
}
