package main

import (
	"fmt"

	"github.com/staykey/staykey/internal/handlers/rest"
)

type openAPICommand struct {
	EventSchema bool `help:"Print the JSON Schema of events in the canonical format instead."`
}

// Run prints the document.
func (c openAPICommand) Run(io *streams) error {
	document, err := rest.OpenAPI("1")
	if c.EventSchema {
		document, err = rest.EventSchemaDocument()
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(io.out, string(document))
	return err
}
