package app

import (
	"context"
	"errors"
	"testing"
)

// A reload that waits for another one ends with the service, whatever the other one waits for.
func TestReloadThatWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	var s reloader
	s.reloads.turn = make(chan struct{}, 1)
	s.reloads.turn <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if configuration, certificate := s.reload(ctx); !errors.Is(configuration, context.Canceled) || certificate != nil {
		t.Errorf("got %v and %v", configuration, certificate)
	}
}
