// Package protect stands in for the module of that name, which asks OpenBSD's kernel to restrict a process and does nothing elsewhere.
package protect

// Pledge does nothing.
func Pledge(string) error { return nil }

// Unveil does nothing.
func Unveil(string, string) error { return nil }

// UnveilBlock does nothing.
func UnveilBlock() error { return nil }
