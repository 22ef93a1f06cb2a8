// Package pgtest gets a Postgres for tests: that of TEST_DATABASE_URL, which a whole test run shares, or one that
// command run starts for this process. The command is a program of its own so that the client of Docker is linked once,
// and not into the test of each package.
package pgtest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Variable names the Postgres that tests share, by a URL of a role that may create databases.
const Variable = "TEST_DATABASE_URL"

const starter = "github.com/staykey/staykey/internal/localpg/pgtest/run"

// Start returns the URL of a Postgres for tests, and what stops it. It stops with this process, too, however that ends,
// and when stop is no longer referenced.
func Start(ctx context.Context) (dsn string, stop func(), err error) {
	if dsn := os.Getenv(Variable); dsn != "" {
		return dsn, func() {}, nil
	}

	cmd := exec.CommandContext(ctx, "go", "run", starter)
	complaint := new(bytes.Buffer)
	cmd.Stderr = complaint
	input, err := cmd.StdinPipe() // the program stops the server when this is closed
	if err != nil {
		return "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, fmt.Errorf("start a Postgres for tests: %w", err)
	}

	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = cmd.Wait() // so that the complaint is complete
		return "", nil, fmt.Errorf("start a Postgres for tests: %s", bytes.TrimSpace(complaint.Bytes()))
	}
	return strings.TrimSpace(line), func() { _ = input.Close() }, nil
}
