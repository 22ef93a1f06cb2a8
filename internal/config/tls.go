package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"sync/atomic"
)

// Certificate is what the public and the admin listener show to their clients. It can be reloaded while connections
// last.
type Certificate struct {
	certFile, keyFile string
	current           atomic.Pointer[tls.Certificate]
}

func newCertificate(certFile, keyFile string) (*Certificate, error) {
	if certFile == "" || keyFile == "" {
		return nil, errors.New("must be set together with STAYKEY_TLS_KEY: PEM files of the certificate chain and of its private key")
	}
	c := &Certificate{certFile: certFile, keyFile: keyFile}
	return c, c.Reload()
}

// Reload reads the files again. If anything is wrong with them, the certificate stays unchanged.
func (c *Certificate) Reload() error {
	read, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("read certificate %s and key %s: %w", c.certFile, c.keyFile, err)
	}
	c.current.Store(&read)
	return nil
}

// Config returns the settings of a listener: TLS 1.2 or newer, Go's choice of ciphers, and HTTP/2.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}
