package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// program is a running server.
type program struct {
	cmd  *exec.Cmd
	log  *os.File
	url  string
	ops  string // "" of what is only compared with
	done chan error
}

// start runs a program that logs its address, and waits until it is ready.
func (r *rig) start(ctx context.Context, path string, env []string, args ...string) (*program, error) {
	log, err := os.CreateTemp(r.dir, "log-")
	if err != nil {
		return nil, err
	}
	p := &program{cmd: exec.CommandContext(ctx, path, args...), log: log, done: make(chan error, 1)} // #nosec G204 -- our own binaries
	p.cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "STAYKEY_LISTEN=127.0.0.1:0",
		"STAYKEY_OPS_LISTEN=127.0.0.1:0",
	}, env...)
	p.cmd.Stderr = log
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { p.done <- p.cmd.Wait() }()
	address := regexp.MustCompile(`"msg":"ready","listen":"([^"]+)"(?:,"ops_listen":"([^"]+)")?`)
	for {
		content, err := os.ReadFile(log.Name())
		if err != nil {
			return nil, err
		}
		if found := address.FindSubmatch(content); found != nil {
			p.url, p.ops = "http://"+string(found[1]), "http://"+string(found[2])
			return p, nil
		}
		select {
		case <-p.done:
			content, _ = os.ReadFile(log.Name())
			return nil, fmt.Errorf("%s did not start: %s", filepath.Base(path), lastLine(content))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// peak is the most memory that a program has held, in MiB; 0 where the system doesn't say.
func (p *program) peak() int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if found == nil {
		return 0
	}
	kilobytes, _ := strconv.Atoi(string(found[1]))
	return kilobytes / 1024
}

// forgetPeak begins to measure a program's memory from now on, where the system can.
func (p *program) forgetPeak() {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0o600)
}

// profile writes what a server's CPU does for some seconds, meanwhile, where profiles are wanted.
func (r *rig) profile(ctx context.Context, p *program, name string, lasts time.Duration) {
	if r.profiles == "" {
		return
	}
	go func() {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/debug/pprof/profile?seconds=%.0f",
			p.ops, lasts.Seconds()), nil)
		if err != nil {
			return
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			say("no profile of %s: %v", name, err)
			return
		}
		defer func() { _ = resp.Body.Close() }()
		if profile, err := io.ReadAll(resp.Body); err == nil && resp.StatusCode == http.StatusOK {
			_ = os.WriteFile(filepath.Join(r.profiles, name+".pprof"), profile, 0o600)
		}
	}()
}

func (p *program) stop() error {
	_ = p.cmd.Process.Signal(os.Interrupt)
	defer func() { _ = p.log.Close(); _ = os.Remove(p.log.Name()) }()
	select {
	case err := <-p.done:
		return err
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		return errors.New("a server did not stop within 30 s")
	}
}

// server starts the built staykey on a database.
func (r *rig) server(ctx context.Context, database, seam string, env ...string) (*program, error) {
	return r.serverOn(ctx, r.dsn(database), seam, env...)
}

// serverOn is server by a connection string.
func (r *rig) serverOn(ctx context.Context, dsn, seam string, env ...string) (*program, error) {
	return r.start(ctx, "bin/staykey", append([]string{
		"DATABASE_URL=" + dsn, "SEAM_API_KEY=seam_bench", "SEAM_ENDPOINT=" +
			seam, "SEAM_ACS_SYSTEM_ID=" + system,
		"STAYKEY_WEBHOOK_SECRET=" + secret().String(), "STAYKEY_ADMIN_TOKEN=" + adminToken,
	}, env...), "serve")
}
