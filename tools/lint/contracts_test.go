package main

import (
	"slices"
	"testing"
)

func TestUncommented(t *testing.T) {
	t.Parallel()
	const source = `package p

// T has a comment, which doesn't serve its fields.
type T struct {
	Bare      int
	Above, Of int // two names share one
	// Own has one above it.
	Own    int
	hidden int
	Nested []struct {
		Inner int
	}
}

type Bare struct{}

type hidden struct{ Field int }

// I is an interface.
type I interface {
	Method()
	T
}

func Function() {}

func (T) Method() {}

func (*hidden) Method() {}

// The constants of a group share its comment.
const (
	A = 1
	B = 2
)

const (
	C = 3 // has its own
	D = 4
)
`
	got, err := uncommented([]byte(source))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"5: T.Bare", "10: T.Nested", "11: T.Inner", "15: Bare", "21: I.Method", "25: Function", "27: Method", "39: D",
	}
	if !slices.Equal(got, want) {
		t.Errorf("without a comment: %q, want %q", got, want)
	}
}
