//go:build drills || monitoring

package main

import "time"

// slow has each answer come later by a while from now on.
func (c *cable) slow(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.delay = by
}
