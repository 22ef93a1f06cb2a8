package rest

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"
)

// formats are what bodies are read from and written in: JSON, in which no name may come twice. Which of the values
// was meant is not ours to guess; others, such as a proxy that looks at requests, may take the other one.
func formats() map[string]huma.Format {
	plain := huma.DefaultJSONFormat
	f := huma.Format{Marshal: plain.Marshal, Unmarshal: func(data []byte, v any) error {
		if err := namesOnce(data); err != nil {
			return err
		}
		return plain.Unmarshal(data, v)
	}}
	return map[string]huma.Format{"application/json": f, "json": f}
}

// namesOnce reports whether a name comes twice in an object; what is no JSON is for others to refuse.
func namesOnce(data []byte) error {
	d := jsontext.NewDecoder(bytes.NewBuffer(data))
	for {
		switch _, err := d.ReadToken(); {
		case err == nil:
		case errors.Is(err, jsontext.ErrDuplicateName):
			syntax := new(jsontext.SyntacticError)
			if errors.As(err, &syntax) {
				return fmt.Errorf("%s is defined twice", syntax.JSONPointer)
			}
			return errors.New("a name is defined twice")
		default:
			return nil
		}
	}
}
