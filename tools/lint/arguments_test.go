package main

import (
	"slices"
	"testing"
)

func TestCountedArguments(t *testing.T) {
	t.Parallel()
	source := "package p\n" +
		"// A comment may speak of $6.\n" +
		"const few = `SELECT $1, $5`\n" +
		"const many = `\n" +
		"SELECT $1,\n" +
		"$6, $12`\n" +
		"const inOneLine = \"VALUES ($10)\"\n" +
		"const named = `VALUES (@source)`\n"
	if got, want := countedArguments([]byte(source)), []int{6, 7}; !slices.Equal(got, want) {
		t.Errorf("lines %v have arguments that must be named, want %v", got, want)
	}
}
