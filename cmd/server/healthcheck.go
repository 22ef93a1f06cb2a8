package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/staykey/staykey/internal/app"
	"github.com/staykey/staykey/internal/config"
	"github.com/staykey/staykey/internal/handlers"
)

type healthcheckCommand struct {
	URL string `placeholder:"URL" help:"Default: /readyz at STAYKEY_LISTEN, on loopback if that has no host."`
}

// Run asks /readyz; for a container that has no shell.
func (h *healthcheckCommand) Run(ctx context.Context, io *streams) error {
	target := h.URL
	if target == "" {
		listen, secure := config.ListenAddress()
		address, err := net.ResolveTCPAddr("tcp", listen)
		if err != nil {
			return config.Problems{"STAYKEY_LISTEN: " + err.Error()}
		}
		scheme := "http"
		if secure {
			scheme = "https"
		}
		target = scheme + "://" + app.Loopback(address) + "/readyz"
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		// #nosec G402 -- it asks itself, by an address that the certificate need not have
	}}
	resp, err := client.Do(req) // #nosec G704 -- the operator's own service
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		var p handlers.Problem
		_ = json.NewDecoder(http.MaxBytesReader(nil, resp.Body, 64<<10)).Decode(&p) // the status says enough
		return fmt.Errorf("not ready: %s answers %s: %s", target, resp.Status, p.Detail)
	}
	_, _ = fmt.Fprintln(io.out, "ready")
	return nil
}
