package importfile

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/staykey/staykey/internal/pms"
)

func eachLine(file *bufio.Reader, fn func(Row) error) error {
	for n := 1; ; n++ {
		line, err := file.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			fields, wrong := asObject(line)
			if err := fn(Row{fmt.Sprintf("line %d", n), fields, len(line), wrong}); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func eachItem(file io.Reader, fn func(Row) error) error {
	d := json.NewDecoder(file)
	if open, err := d.Token(); err != nil || open != json.Delim('[') {
		return errors.Join(errors.New("a .json file must be a list of objects"), readError(err))
	}

	n := 1
	for ; d.More(); n++ {
		var raw json.RawMessage
		if err := d.Decode(&raw); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("item %d is not complete, so the file is truncated", n)
		} else if err != nil {
			return fmt.Errorf("item %d: %w", n, err)
		}
		fields, wrong := asObject(raw)
		if err := fn(Row{fmt.Sprintf("item %d", n), fields, len(raw), wrong}); err != nil {
			return err
		}
	}

	if _, err := d.Token(); err != nil {
		return fmt.Errorf("the list is not closed after item %d, so the file is truncated: %w", n-1, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("unexpected text after the list")
	}
	return nil
}

// readError is an error of the file itself; nil where its content is what is wrong.
func readError(err error) error {
	if syntax := new(json.SyntaxError); errors.As(err, &syntax) || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func asObject(text []byte) (map[string]any, error) {
	v, err := pms.DecodeJSON(text)
	if err != nil {
		return nil, err
	}
	fields, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("must be an object")
	}
	return fields, nil
}
