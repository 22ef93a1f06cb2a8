// Command table prints the report of make drills as a Markdown table.
package main

import (
	"fmt"
	"os"

	"github.com/staykey/staykey/tools/drill"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: table REPORT")
		os.Exit(2)
	}
	table, err := drill.Table(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(table)
}
