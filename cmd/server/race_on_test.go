//go:build race

package main

// raced tells that the race detector is on: the programs under test have it, too.
const raced = true
