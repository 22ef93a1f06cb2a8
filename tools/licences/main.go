// Command licences writes, or checks, docs/licences.md: every module that is in the binary, with its version and
// licence.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const page = "docs/licences.md"

// known are phrases that tell licences apart, the most particular first.
var known = []struct{ licence, phrase string }{
	{"Apache-2.0", "Apache License"},
	{"MPL-2.0", "Mozilla Public License"},
	{"ISC", "Permission to use, copy, modify, and/or distribute"},
	{"MIT", "Permission is hereby granted, free of charge"},
	{"BSD-3-Clause", "Neither the name"},
	{"BSD-2-Clause", "Redistributions of source code must retain"},
	{"public domain", "put into the public domain"},
}

type module struct {
	Path, Version, Dir string
	Main               bool
}

func main() {
	write := flag.Bool("write", false, "write "+page+" instead of comparing it")
	flag.Parse()
	if err := run(*write); err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}

func run(write bool) error {
	modules, err := modules()
	if err != nil {
		return err
	}

	var b bytes.Buffer
	b.WriteString("# Licences\n\nstaykey is under the [MIT licence](../LICENSE). Its binary contains these modules, " +
		"at the versions pinned by go.mod and go.sum. `make licences WRITE=1` writes this page.\n\nThe web page " +
		"has icons of [Lucide](https://lucide.dev) 1.62.0, under ISC and, for those derived from Feather, MIT " +
		"(internal/handlers/web/static/icons/LICENSE).\n\n| module | version | licence |\n| --- | --- | --- |\n")
	for _, m := range modules {
		licence, err := licenceOf(m.Dir)
		if err != nil {
			return fmt.Errorf("%s %s: %w", m.Path, m.Version, err)
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", m.Path, m.Version, licence)
	}

	if write {
		return os.WriteFile(page, b.Bytes(), 0o644) // #nosec G306 -- documentation
	}

	now, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	if !bytes.Equal(now, b.Bytes()) {
		return errors.New(page + " is not up to date: make licences WRITE=1")
	}
	return nil
}

// modules lists those of the binary, by path.
func modules() ([]module, error) {
	cmd := exec.Command("go", "list", "-deps", "-json=Module", "./cmd/server")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list the modules: %w", err)
	}
	var list []module
	decoder := json.NewDecoder(bytes.NewReader(out))
	for {
		var p struct{ Module *module }
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		if p.Module != nil && !p.Module.Main && !slices.Contains(list, *p.Module) {
			list = append(list, *p.Module)
		}
	}
	slices.SortFunc(list, func(a, b module) int { return strings.Compare(a.Path, b.Path) })
	return list, nil
}

// licenceOf reads a module's licence. One that is not known must be looked at by a person.
func licenceOf(dir string) (string, error) {
	for _, pattern := range []string{"LICENSE*", "LICENCE*", "License*", "COPYING*"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return "", err
		}
		for _, file := range files {
			text, err := os.ReadFile(file) // #nosec G304 -- of a module in the cache
			if err != nil {
				return "", err
			}
			flat := strings.Join(strings.Fields(string(text)), " ")
			for _, k := range known {
				if strings.Contains(flat, k.phrase) {
					return k.licence, nil
				}
			}
		}
	}
	return "", errors.New("no licence that is known here: look at it, and add it to tools/licences if we may use it")
}
