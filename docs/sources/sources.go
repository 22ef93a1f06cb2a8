// Package sources holds the instructions for connecting each PMS, so that the web page shows the same text as the
// documentation.
package sources

import "embed"

// Files are the instructions: NAME.md for the preset NAME.
//
//go:embed *.md
var Files embed.FS
