package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/writeback"
)

// previewWriteBack prints the requests that write-back would send for a reservation.
func (c *mapCommand) previewWriteBack(ctx context.Context, streams *streams) error {
	set, err := c.writeBackSettings()
	if err != nil {
		return err
	}

	m, err := c.mapping(streams)
	if err != nil {
		return err
	}
	reservation, err := pms.DecodeJSON(m.Body)
	if err != nil {
		return fmt.Errorf("the reservation: %w", err)
	}

	id, _ := pms.Lookup(reservation, "reservation_id").(string)
	if id == "" {
		return errors.New("the reservation has no reservation_id: pass it as GET /v1/reservations/{source}/{id} returns it")
	}

	preview, err := writeback.PreviewOf(ctx, set, id, reservation, nil)
	if err != nil {
		return err
	}
	if preview.Text == "" {
		return errors.New("nothing to write: the reservation has no guest_link; turn on guest_links, or pass --text")
	}

	encoder := json.NewEncoder(streams.out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(preview)
}

// writeBackSettings are those that a source with the command's flags would have.
func (c *mapCommand) writeBackSettings() (*pms.WriteBackSettings, error) {
	preset, err := pms.LoadWriteBack(c.WriteBack)
	if err != nil {
		return nil, err
	}
	set := &pms.WriteBackSettings{
		Preset: preset, Field: cmp.Or(c.Field, preset.Field), With: c.With,
		Account: pms.Account{AccountManifest: preset.Account},
	}

	if _, known := preset.Rules(set.Field); !known {
		return nil, fmt.Errorf("--field: %q is not a field that %s can write: it must be one of %s", set.Field,
			preset.Name, preset.FieldNames())
	}
	for _, name := range preset.With {
		if c.With[name] == "" {
			return nil, fmt.Errorf("--with: %s needs %s=VALUE", preset.Name, name)
		}
	}
	if c.Text != "" {
		if set.Text, err = pms.ParseText(c.Text); err != nil {
			return nil, fmt.Errorf("--text: %w", err)
		}
	}
	return set, nil
}
