package app

import (
	"context"
	"errors"
)

// listeners are what the service listens on.
type listeners struct {
	public  *publicServer
	admin   *publicServer // nil: the public one has its routes
	private *privateServer
}

// addresses are the log's attributes of them.
func (l listeners) addresses() []any {
	attrs := []any{"listen", l.public.address.String()}
	if l.admin != nil {
		attrs = append(attrs, "admin_listen", l.admin.address.String())
	}
	return append(attrs, "ops_listen", l.private.address.String())
}

// use makes them answer for real.
func (l listeners) use(s *service) {
	l.public.use(s.public)
	if l.admin != nil {
		l.admin.use(s.admin)
	}
	l.private.use(s.ops)
}

// adminFailed has the error that ended the admin listener; never, if there is none.
func (l listeners) adminFailed() <-chan error {
	if l.admin == nil {
		return nil
	}
	return l.admin.failed
}

// shutdown closes all but the private one, and waits for their requests until ctx ends, when it cuts them off.
func (l listeners) shutdown(ctx context.Context) error {
	results := make(chan error, 2)
	servers := []*publicServer{l.public}
	if l.admin != nil {
		servers = append(servers, l.admin)
	}
	for _, server := range servers {
		go func() {
			err := server.Shutdown(ctx)
			if err != nil {
				_ = server.Close()
			}
			results <- err
		}()
	}
	var err error
	for range servers {
		err = errors.Join(err, <-results)
	}
	return err
}
