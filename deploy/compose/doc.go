// Package compose holds the test of docker-compose.yml, which needs Docker: make compose-test.
package compose
