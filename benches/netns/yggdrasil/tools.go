//go:build tools

// Package tools makes the program to build a dependency of this module.
package tools

import _ "github.com/yggdrasil-network/yggdrasil-go/cmd/yggdrasil"
