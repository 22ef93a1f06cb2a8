package main

import (
	"net"
	"sync"
	"testing"
	"time"
)

// cable is a TCP connection between two parts that can be cut.
type cable struct {
	listener net.Listener

	mu     sync.Mutex
	target string
	mode   cableMode
	delay  time.Duration // of each answer
	open   map[net.Conn]bool
	cuts   int
}

type cableMode int

const (
	whole  cableMode = iota
	broken           // connections are closed as soon as they come
	silent           // nothing goes through, silently
)

// lay lays a cable to an address.
func lay(t testing.TB, target string) *cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{listener: l, target: target, open: map[net.Conn]bool{}}
	t.Cleanup(func() {
		_ = l.Close()
		c.set(broken)
	})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go c.carry(conn)
		}
	}()
	return c
}

func (c *cable) addr() string { return c.listener.Addr().String() }

// set changes the cable's state. Whatever it carries is torn, unless it goes silent.
func (c *cable) set(m cableMode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mode = m
	if m != whole {
		c.cuts++
	}
	if m == silent {
		return
	}
	for conn := range c.open {
		_ = conn.Close()
	}
}

// lead leads to another address from now on.
func (c *cable) lead(target string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.target = target
}

func (c *cable) carry(near net.Conn) {
	defer func() { _ = near.Close() }()
	c.mu.Lock()
	target, mode := c.target, c.mode
	c.mu.Unlock()
	if mode == broken {
		return
	}
	far, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer func() { _ = far.Close() }()
	c.mu.Lock()
	c.open[near], c.open[far] = true, true
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.open, near)
		delete(c.open, far)
	}()
	var both sync.WaitGroup
	both.Go(func() { c.copy(far, near, false) })
	both.Go(func() { c.copy(near, far, true) })
	both.Wait()
}

func (c *cable) copy(to, from net.Conn, answers bool) {
	defer func() { _ = to.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		c.mu.Lock()
		lost, delay := c.mode == silent, c.delay
		c.mu.Unlock()
		if answers && delay > 0 {
			time.Sleep(delay) // the fault
		}
		if n > 0 && !lost {
			if _, werr := to.Write(buffer[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
