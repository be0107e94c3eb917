//go:build !linux

package testcluster

import "errors"

// namespace is a network of its own, which only Linux has.
type namespace struct{}

func newNamespace() (*namespace, error) { return nil, errors.ErrUnsupported }

func (*namespace) path() string { return "" }

func (*namespace) enter(func() error) error { return errors.ErrUnsupported }

func (*namespace) close() error { return nil }
