package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// load is what wrk says.
type load struct {
	Requests int   `json:"requests"`
	Micros   int64 `json:"duration_us"`
	Refused  int   `json:"refused"`
	Broken   int   `json:"broken"`
	P50      int64 `json:"p50_us"`
	P99      int64 `json:"p99_us"`

	wrk time.Duration // its processor time
}

func (l load) perSecond() float64 { return float64(l.Requests-l.Refused) / (float64(l.Micros) / 1e6) }

// posts are what wrk posts.
type posts struct {
	repeated int  // how many in a hundred were posted before
	gates    bool // they open the gate of [featureSource]
}

// wrk posts events for a while.
func (r *rig) wrk(ctx context.Context, url string, connections int, lasts, pause time.Duration,
	what posts,
) (load, error) {
	r.made++
	cmd := exec.CommandContext(ctx, "wrk", "-t", strconv.Itoa(min(connections, 2)), "-c",
		strconv.Itoa(connections), // #nosec G204 -- our own arguments
		"-d", fmt.Sprintf("%ds", max(int(lasts.Seconds()), 1)), "-s", filepath.Join(r.dir, "events.lua"), url+
			"/webhooks/default", "--",
		fmt.Sprintf("%x", secretText), fmt.Sprintf("run%d", r.made), strconv.Itoa(listings),
		strconv.FormatInt(pause.Milliseconds(), 10), strconv.Itoa(what.repeated),
		strconv.FormatBool(what.gates))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("wrk: %w: %s", err, lastLine(out))
	}
	var l load
	if err := json.Unmarshal([]byte(lastLine(out)), &l); err != nil {
		return load{}, fmt.Errorf("wrk: %w: %s", err, bytes.TrimSpace(out))
	}
	if l.Broken > 0 {
		return l, fmt.Errorf("wrk: %d requests broke", l.Broken)
	}
	l.wrk = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return l, nil
}
