//go:build drills

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/localpg"
	"github.com/staykey/staykey/internal/until"
)

// patroni is a cluster of three members, synchronous, with an etcd of one. Everything is on loopback.
type patroni struct {
	t       *testing.T
	dir     string
	account *syscall.Credential
	members []*member
	client  http.Client
}

// member is a Patroni with its Postgres.
type member struct {
	name, api string
	port      int
	cmd       *exec.Cmd
}

// newPatroni starts a cluster and returns when all members follow. It needs Debian's packages and, because they don't
// run as root, an account.
func newPatroni(t *testing.T) *patroni {
	t.Helper()
	for _, program := range []string{"patroni", "etcd"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed (Debian, Ubuntu: sudo apt-get install -y patroni etcd-server)", program)
		}
	}
	p := &patroni{t: t, dir: drillDir(t), client: http.Client{Timeout: 2 * time.Second}}
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Skip("there is no account postgres")
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		p.account = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(p.dir, int(uid), int(gid)); err != nil {
			t.Fatal(err)
		}
	}
	bin, err := localpg.FindBinaries(context.Background(), localpg.Options{})
	if err != nil {
		t.Fatal(err)
	}
	client, peer := freeAddress(t), freeAddress(t)
	p.start("etcd", "--name=one", "--data-dir="+filepath.Join(p.dir, "etcd"), "--listen-client-urls=http://"+client,
		"--advertise-client-urls=http://"+client,
		"--listen-peer-urls=http://"+peer, "--initial-advertise-peer-urls=http://"+peer,
		"--initial-cluster=one=http://"+peer, "--unsafe-no-fsync")
	for i := range 3 {
		m := &member{name: fmt.Sprintf("member%d", i), api: freeAddress(t)}
		address := freeAddress(t)
		_, port, _ := net.SplitHostPort(address)
		m.port, _ = strconv.Atoi(port)
		config := fmt.Sprintf(`
scope: drill
name: %[1]s
restapi: {listen: "%[2]s", connect_address: "%[2]s"}
etcd3: {hosts: ["%[3]s"]}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 5
    retry_timeout: 5
    synchronous_mode: true
    postgresql: {use_pg_rewind: true, parameters: {max_connections: 100}}
  initdb: [{encoding: UTF8}, {locale: C}, data-checksums]
  users: {staykey: {password: drill, options: [superuser]}}
  pg_hba: ["host all all 127.0.0.1/32 md5", "host replication all 127.0.0.1/32 md5"]
postgresql:
  listen: "%[4]s"
  connect_address: "%[4]s"
  data_dir: %[5]s
  bin_dir: %[6]s
  pgpass: %[5]s.pgpass
  authentication: {superuser: {username: postgres, password: drill}, replication: {username: replicator, password: drill}, rewind: {username: rewinder, password: drill}}
  parameters: {unix_socket_directories: "", fsync: "off"}
tags: {}
`, m.name, m.api, client, address, filepath.Join(p.dir, m.name), bin)
		file := filepath.Join(p.dir, m.name+".yaml")
		if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
			t.Fatal(err)
		}
		m.cmd = p.start("patroni", file)
		p.members = append(p.members, m)
		if i == 0 {
			waitUntil(t, "the first member to lead", func() bool { return p.leader() == m })
		}
	}
	waitUntil(t, "the members to follow", func() bool {
		following := 0
		for _, m := range p.members {
			if role, state := p.role(m); role == "replica" && state == "running" {
				following++
			}
		}
		return following == 2 && p.leader() != nil && p.synchronous() != ""
	})
	return p
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// start runs a program of the cluster, with its children in a process group of their own.
func (p *patroni) start(name string, args ...string) *exec.Cmd {
	p.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = p.dir
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.account, Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGCONT)
		_ = cmd.Process.Signal(syscall.SIGTERM)
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
		if p.t.Failed() {
			p.t.Logf("log of %s:\n%s", name, log.String())
		}
	})
	return cmd
}

// role is what a member says of itself.
func (p *patroni) role(m *member) (role, state string) {
	resp, err := p.client.Get("http://" + m.api + "/patroni")
	if err != nil {
		return "", ""
	}
	defer func() { _ = resp.Body.Close() }()
	var body struct{ Role, State string }
	_ = json.NewDecoder(resp.Body).Decode(&body)
	return body.Role, body.State
}

// leader is the member that answers as the primary; nil for none.
func (p *patroni) leader() *member {
	for _, m := range p.members {
		resp, err := p.client.Get("http://" + m.api + "/primary")
		if err != nil {
			continue
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return m
		}
	}
	return nil
}

// synchronous names the synchronous standby; "" for none.
func (p *patroni) synchronous() string {
	for _, m := range p.members {
		resp, err := p.client.Get("http://" + m.api + "/sync")
		if err != nil {
			continue
		}
		_ = resp.Body.Close()
		if role, _ := p.role(m); resp.StatusCode == http.StatusOK && role == "replica" {
			return m.name
		}
	}
	return ""
}

// dsn lists all members, the leader first.
func (p *patroni) dsn() string {
	leader := p.leader()
	hosts := []string{fmt.Sprintf("127.0.0.1:%d", leader.port)}
	for _, m := range p.members {
		if m != leader {
			hosts = append(hosts, fmt.Sprintf("127.0.0.1:%d", m.port))
		}
	}
	return "postgres://staykey:drill@" + strings.Join(hosts, ",") +
		"/postgres?sslmode=disable&target_session_attrs=read-write"
}

// postmaster is the process of a member's Postgres.
func (p *patroni) postmaster(m *member) int {
	content, err := os.ReadFile(filepath.Join(p.dir, m.name, "postmaster.pid"))
	if err != nil {
		p.t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		p.t.Fatal(err)
	}
	return pid
}

// signal sends a signal to a member: to Patroni, its Postgres, and all of that one's processes.
func (p *patroni) signal(m *member, s syscall.Signal) {
	_ = m.cmd.Process.Signal(s)
	signalFamily(p.postmaster(m), s)
}

// failover has something done to the leader, and says how long Patroni and the service took.
func failover(t *testing.T, rig string, strike func(*patroni, *member)) string {
	p := newPatroni(t)
	leader := p.leader()
	d := newDrill(t, fmt.Sprintf("postgres://staykey:drill@127.0.0.1:%d/postgres?sslmode=disable", leader.port), 2,
		"DATABASE_URL="+p.dsn())
	began := time.Now()
	strike(p, leader)
	promoted := make(chan time.Duration, 1)
	go func() {
		for {
			if now := p.leader(); now != nil && now != leader {
				promoted <- time.Since(began)
				return
			}
			select {
			case <-t.Context().Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	theirs := received(t, "Patroni to promote another member", promoted)
	var ours time.Duration
	waitUntil(t, "webhooks to be accepted again", func() bool {
		for _, a := range d.since(began.Add(theirs - 2*time.Second)) {
			if a.status == http.StatusAccepted && a.at.Sub(began) > min(theirs, 2*time.Second) {
				ours = a.at.Sub(began)
				return true
			}
		}
		return false
	})
	if ours > theirs+time.Minute { // a busy machine's time is measured, not judged
		t.Errorf("Patroni took %s, and staykey %s", theirs, ours)
	}
	return fmt.Sprintf("Patroni %s, staykey %s; %s", seconds(theirs), seconds(ours), d.settle(rig))
}

func drillSwitchover(t *testing.T) string {
	return failover(t, "switchover", func(p *patroni, leader *member) {
		body := fmt.Sprintf(`{"leader": %q, "candidate": %q}`, leader.name, p.synchronous())
		client := http.Client{Timeout: until.Patience}
		resp, err := client.Post("http://"+leader.api+"/switchover", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("switchover: %d", resp.StatusCode)
		}
	})
}

func drillKilledPrimary(t *testing.T) string {
	return failover(t, "killed primary", func(p *patroni, leader *member) { p.signal(leader, syscall.SIGKILL) })
}

func drillFrozenPrimary(t *testing.T) string {
	return failover(t, "frozen primary", func(p *patroni, leader *member) {
		p.signal(leader, syscall.SIGSTOP)
		t.Cleanup(func() { p.signal(leader, syscall.SIGCONT) })
	})
}
