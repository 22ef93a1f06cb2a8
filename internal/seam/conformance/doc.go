// Package conformance says, as tests, what staykey relies on at Seam: unique keys of user identities, the answers to
// requests for things that don't exist, which fields an answer has, how a list continues, what a second try of the same
// create returns.
//
// The tests run against the simulator (internal/seam/simulator) in every run of the suite. With SEAM_SANDBOX_API_KEY
// they run against a Seam sandbox workspace as well: docs/development.md says how. The workspace needs an access
// group. They delete what they create.
//
// A behavior of Seam that the code depends on belongs here first. A test that passes on the simulator and fails on
// the sandbox means that the simulator is wrong: fix it, and the code that relied on it.
package conformance
