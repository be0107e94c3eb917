// Package testcert makes certificates for tests: an authority of its own, and what it signs, as PEM files.
package testcert
